package s3

import (
	"errors"
	"net/http"

	"github.com/selvage-edge/selvage/binding/r2"
)

func (c *call) deleteObject() error {
	if err := checkKey(c.key); err != nil {
		return err
	}
	b, err := c.bucket()
	if err != nil {
		return err
	}
	if err := b.Delete(c.r.Context(), c.key); err != nil {
		return err
	}
	c.w.empty(http.StatusNoContent)
	return nil
}

// deleteObjects deletes those of up to 1,000 keys that can be keys, all at one
// moment unless one is locked, and says of each what became of it.
func (c *call) deleteObjects() error {
	root, err := c.read("Delete", maxDocument)
	if err != nil {
		return err
	}
	keys, quiet, err := keysOf(root)
	if err != nil {
		return err
	}
	b, err := c.bucket()
	if err != nil {
		return err
	}
	refused := map[string]error{}
	var valid []string
	for _, key := range keys {
		if err := errors.Join(checkKey(key), r2.CheckKey(key)); err != nil {
			refused[key] = err
		} else {
			valid = append(valid, key)
		}
	}
	if len(valid) > 0 {
		err := b.Delete(c.r.Context(), valid...)
		if errors.Is(err, r2.ErrLocked) { // the others go, one by one
			err = nil
			for _, key := range valid {
				if e := b.Delete(c.r.Context(), key); errors.Is(e, r2.ErrLocked) {
					refused[key] = e
				} else if e != nil {
					return e
				}
			}
		}
		if err != nil {
			return err
		}
	}
	d := newDocument("DeleteResult")
	for _, key := range keys {
		if err := refused[key]; err != nil {
			e := classify(c.r.Context(), err)
			d.begin("Error")
			d.text("Key", key)
			d.text("Code", e.Code)
			d.text("Message", e.Message)
			d.end("Error")
		} else if !quiet {
			d.begin("Deleted")
			d.text("Key", key)
			d.end("Deleted")
		}
	}
	d.end("DeleteResult")
	return c.write(d)
}

// keysOf reads the keys that are to be deleted.
func keysOf(root *element) (keys []string, quiet bool, err error) {
	if root == nil {
		return nil, false, errMalformedXML
	}
	if err := root.only("Object", "Quiet"); err != nil {
		return nil, false, err
	}
	text, err := root.text("Quiet")
	if err != nil || text != "" && text != "true" && text != "false" {
		return nil, false, errMalformedXML
	}
	objects := root.all("Object")
	if len(objects) == 0 || len(objects) > r2.MaxDeleteKeys {
		return nil, false, errMalformedXML
	}
	for _, e := range objects {
		for _, condition := range []string{"ETag", "LastModifiedTime", "Size"} {
			if len(e.all(condition)) > 0 {
				return nil, false, notImplemented("DeleteObjects with " + condition)
			}
		}
		if err := e.only("Key", "VersionId"); err != nil {
			return nil, false, err
		}
		key, err := e.text("Key")
		if err != nil || key == "" {
			return nil, false, errMalformedXML
		}
		version, err := e.text("VersionId")
		if err != nil {
			return nil, false, err
		}
		if version != "" && version != "null" {
			return nil, false, notImplemented("DeleteObjects with VersionId")
		}
		keys = append(keys, key)
	}
	return keys, text == "true", nil
}
