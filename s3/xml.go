package s3

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/selvage-edge/selvage/binding/r2"
	"github.com/selvage-edge/selvage/storage/budget"
)

// Bounds on documents that clients send. Those of S3 have at most four levels.
const (
	maxDepth    = 8
	maxNameSize = 64
	// maxDocument is the largest body: that of an upload with 10,000 parts, which
	// has a checksum with each.
	maxDocument = 4 << 20
	// freeDocument is the size from which on a body needs the leave of the budget.
	freeDocument = 64 << 10
)

// element is an element of a document.
type element struct {
	name     string
	content  string // its text, if it has no children
	children []*element
}

// read reads the body as a document whose outermost element is root; nil if there
// is no body. Its digests are compared with what the request claims.
func (c *call) read(root string, limit int64) (*element, error) {
	claim, err := claimed(c.r)
	if err != nil {
		return nil, err
	}
	if c.r.ContentLength > limit {
		return nil, errMalformedXML
	}
	if size := c.r.ContentLength; size < 0 || size > freeDocument {
		if size < 0 {
			size = limit
		}
		lease, err := c.options.Memory.Take(c.r.Context(), "s3 "+c.access.Key, 4*size) // the tree is larger than its text
		if errors.Is(err, budget.ErrFull) {
			return nil, refuse(503, "SlowDown", "Please reduce your request rate.")
		}
		if err != nil {
			return nil, err
		}
		defer lease.Release()
	}
	data, err := io.ReadAll(io.LimitReader(c.r.Body, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, errMalformedXML
	}
	if err := r2.CheckSums(data, claim.Checksums, claim.late); err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, nil
	}
	e, err := parseDocument(data)
	if err != nil || e.name != root {
		return nil, errMalformedXML
	}
	return e, nil
}

// parseDocument reads a document. It takes the XML that clients of S3 write:
// elements with text or with children, and neither document types nor
// instructions.
func parseDocument(data []byte) (*element, error) {
	if !utf8.Valid(data) {
		return nil, errMalformedXML
	}
	decoder := xml.NewDecoder(bytes.NewReader(data))
	var root *element
	var open []*element
	var text strings.Builder
	for {
		token, err := decoder.Token()
		if err == io.EOF {
			if root == nil || len(open) > 0 {
				return nil, errMalformedXML
			}
			return root, nil
		}
		if err != nil {
			return nil, errMalformedXML
		}
		switch t := token.(type) {
		case xml.StartElement:
			if len(t.Name.Local) > maxNameSize || len(open) == maxDepth || root != nil && len(open) == 0 {
				return nil, errMalformedXML
			}
			e := &element{name: t.Name.Local}
			if len(open) == 0 {
				root = e
			} else {
				if strings.TrimSpace(text.String()) != "" {
					return nil, errMalformedXML
				}
				parent := open[len(open)-1]
				parent.children = append(parent.children, e)
			}
			text.Reset()
			open = append(open, e)
		case xml.EndElement:
			e := open[len(open)-1]
			open = open[:len(open)-1]
			if len(e.children) == 0 {
				e.content = text.String()
			} else if strings.TrimSpace(text.String()) != "" {
				return nil, errMalformedXML
			}
			text.Reset()
		case xml.CharData:
			if len(open) == 0 {
				if len(bytes.TrimSpace(t)) > 0 {
					return nil, errMalformedXML
				}
				continue
			}
			text.Write(t)
		case xml.Comment:
		case xml.ProcInst:
			if t.Target != "xml" || root != nil {
				return nil, errMalformedXML
			}
		default: // a document type
			return nil, errMalformedXML
		}
	}
}

// only refuses children of other names.
func (e *element) only(names ...string) error {
	for _, child := range e.children {
		known := false
		for _, name := range names {
			known = known || child.name == name
		}
		if !known {
			return errMalformedXML
		}
	}
	return nil
}

// all are the children of a name.
func (e *element) all(name string) (list []*element) {
	for _, child := range e.children {
		if child.name == name {
			list = append(list, child)
		}
	}
	return list
}

// one is the child of a name, nil if there is none. There may not be two.
func (e *element) one(name string) (*element, error) {
	list := e.all(name)
	if len(list) > 1 {
		return nil, errMalformedXML
	}
	if len(list) == 0 {
		return nil, nil
	}
	return list[0], nil
}

// text is that of the child of a name, "" if there is none.
func (e *element) text(name string) (string, error) {
	child, err := e.one(name)
	if err != nil || child == nil {
		return "", err
	}
	if len(child.children) > 0 {
		return "", errMalformedXML
	}
	return child.content, nil
}
