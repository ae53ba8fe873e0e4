package r2

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
)

// Handler speaks the protocol of workerd's R2Bucket for one bucket.
//
//	GET /  cf-r2-request: {"method":"get",…}    head, get, list
//	PUT /  cf-r2-metadata-size: N               all others: N bytes of JSON, then
//	                                            the content
//
// Answers have JSON first, whose size is in cf-r2-metadata-size, and then the
// content that was asked for. An error is JSON in the header cf-r2-error.
//
// Source: https://github.com/cloudflare/workerd/blob/main/src/workerd/api/r2-rpc.c++
//
// worker is the Worker on whose behalf it is.
func (b *Bucket) Handler(worker string) http.Handler { return service{b, worker} }

type service struct {
	b      *Bucket
	worker string
}

const (
	requestHeader = "Cf-R2-Request"
	sizeHeader    = "Cf-R2-Metadata-Size"
	errorHeader   = "Cf-R2-Error"
)

const (
	// maxRequest bounds the JSON of a request: 1,000 keys, or 10,000 parts.
	maxRequest = 4 << 20
	// maxReply is the most JSON that workerd reads of an answer.
	maxReply = 1 << 20
	// listMemory is what a list needs: the reply, and its objects before they are
	// JSON.
	listMemory = 4 << 20
	// maxDrain bounds how much of a refused content is read for the sake of a
	// readable error.
	maxDrain = 1 << 30
)

func (s service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h["Date"], h["Content-Type"] = nil, nil // net/http would add them, and nobody looks
	var err error
	switch r.Method {
	case http.MethodGet:
		err = s.read(w, r)
	case http.MethodPut:
		err = s.write(w, r)
	default:
		err = invalid("There is no method %s.", r.Method)
	}
	if err != nil {
		s.fail(w, r, err)
	}
}

func (s service) read(w http.ResponseWriter, r *http.Request) error {
	var req request
	if err := req.decode([]byte(r.Header.Get(requestHeader))); err != nil {
		return err
	}
	switch req.Method {
	case "head":
		o, err := s.b.Head(r.Context(), req.Object)
		if err != nil {
			return err
		}
		return answer(w, toRecord(o).withRange(0, o.Size))
	case "get":
		return s.get(w, r, req)
	case "list":
		return s.list(w, r, req)
	}
	return invalid("There is no method %q.", req.Method)
}

func (s service) get(w http.ResponseWriter, r *http.Request, req request) error {
	key, err := req.SSEC.key()
	if err != nil {
		return err
	}
	o := GetOptions{OnlyIf: req.OnlyIf.conditional(), RangeHeader: req.RangeHeader, SSECKey: key}
	if req.Range != nil && req.RangeHeader == "" {
		o.Range = &Range{Offset: req.Range.Offset.pointer(), Length: req.Range.Length.pointer(), Suffix: req.Range.Suffix.pointer()}
	}
	reader, err := s.b.Get(r.Context(), req.Object, o)
	if errors.Is(err, ErrPreconditionFailed) {
		// The Worker gets the object without its content.
		data, wrong := json.Marshal(toRecord(&reader.Object).withRange(0, reader.Size))
		if wrong != nil {
			return wrong
		}
		h := w.Header()
		h[errorHeader] = []string{errorText(ErrPreconditionFailed)}
		h[sizeHeader] = []string{strconv.Itoa(len(data))}
		w.WriteHeader(ErrPreconditionFailed.Status)
		w.Write(data) // fails only when workerd has gone
		return nil
	}
	if err != nil {
		return err
	}
	defer reader.Close()
	data, err := json.Marshal(toRecord(&reader.Object).withRange(reader.Offset, reader.Length))
	if err != nil {
		return err
	}
	h := w.Header()
	h[sizeHeader] = []string{strconv.Itoa(len(data))}
	h["Content-Length"] = []string{strconv.FormatInt(int64(len(data))+reader.Length, 10)}
	if _, err := w.Write(data); err != nil {
		return nil // workerd has gone
	}
	// A short body makes net/http close the connection, so the Worker's read fails.
	if _, err := io.Copy(w, reader); err != nil && r.Context().Err() == nil {
		s.b.store.log.Error("an object could not be read to its end", "bucket", s.b.name, "key", req.Object, "error", err)
	}
	return nil
}

func (s service) list(w http.ResponseWriter, r *http.Request, req request) error {
	o := ListOptions{Prefix: req.Prefix, Delimiter: req.Delimiter, Cursor: req.Cursor, StartAfter: req.StartAfter,
		IncludeHTTP: slices.Contains(req.Include, 0), IncludeCustom: slices.Contains(req.Include, 1)}
	if req.Limit != nil {
		if *req.Limit < 1 || *req.Limit > MaxListKeys {
			return ErrLimit
		}
		o.Limit = int(*req.Limit)
	}
	lease, err := s.b.store.lend(r.Context(), s.worker, listMemory)
	if err != nil {
		return err
	}
	defer lease.Release()
	reply := listReply{Objects: []json.RawMessage{}, Prefixes: []json.RawMessage{}}
	room := maxReply - 4096 // for the rest of the reply
	var failed error
	reply.Cursor, err = s.b.list(r.Context(), o, func(object *Object, prefix string) bool {
		to, v := &reply.Prefixes, any(prefix)
		if object != nil {
			to, v = &reply.Objects, toRecord(object)
		}
		data, err := json.Marshal(v)
		if room -= len(data) + 1; err != nil || room < 0 {
			failed = err
			return false
		}
		*to = append(*to, data)
		return true
	})
	if err = errors.Join(err, failed); err != nil {
		return err
	}
	reply.Truncated = reply.Cursor != ""
	return answer(w, reply)
}

func (s service) write(w http.ResponseWriter, r *http.Request) error {
	size, err := strconv.Atoi(r.Header.Get(sizeHeader))
	if err != nil || size < 0 || size > maxRequest {
		return invalid("Metadata missing or invalid")
	}
	if size > 64<<10 {
		lease, err := s.b.store.lend(r.Context(), s.worker, 3*int64(size))
		if err != nil {
			return err
		}
		defer lease.Release()
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(r.Body, data); err != nil {
		return invalid("Metadata missing or invalid")
	}
	var req request
	if err := req.decode(data); err != nil {
		return err
	}
	var content io.Reader = r.Body
	if r.ContentLength >= int64(size) {
		content = Sized{r.Body, r.ContentLength - int64(size)}
	}
	reply, err := s.do(r.Context(), &req, content)
	if err != nil {
		return err
	}
	return answer(w, reply)
}

// do is a request that writes, and its answer.
func (s service) do(ctx context.Context, req *request, content io.Reader) (reply any, err error) {
	key, err := req.SSEC.key()
	if err != nil {
		return nil, err
	}
	upload := s.b.ResumeMultipartUpload(req.Object, req.UploadID)
	switch req.Method {
	case "put":
		o, err := req.putOptions(key)
		if err != nil {
			return nil, err
		}
		object, err := s.b.Put(ctx, req.Object, content, o)
		if err != nil {
			return nil, err
		}
		return toRecord(object), nil
	case "delete":
		keys := req.Objects
		if req.Objects == nil {
			keys = []string{req.Object}
		}
		return struct{}{}, s.b.Delete(ctx, keys...)
	case "createMultipartUpload":
		o, err := req.putOptions(key)
		if err != nil {
			return nil, err
		}
		upload, err = s.b.CreateMultipartUpload(ctx, req.Object, o)
		if err != nil {
			return nil, err
		}
		return map[string]string{"uploadId": upload.ID()}, nil
	case "uploadPart":
		p, err := upload.UploadPart(ctx, req.PartNumber, content, key)
		return map[string]string{"etag": p.ETag}, err
	case "completeMultipartUpload":
		parts := make([]Part, len(req.Parts))
		for i, p := range req.Parts {
			parts[i] = Part{p.Part, p.ETag}
		}
		object, err := upload.Complete(ctx, parts)
		if err != nil {
			return nil, err
		}
		return toRecord(object), nil
	case "abortMultipartUpload":
		return struct{}{}, upload.Abort(ctx)
	}
	return nil, invalid("There is no method %q.", req.Method)
}

func answer(w http.ResponseWriter, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	h := w.Header()
	h[sizeHeader] = []string{strconv.Itoa(len(data))}
	h["Content-Length"] = h[sizeHeader]
	w.Write(data) // fails only when workerd has gone
	return nil
}

// errorText is what cf-r2-error has.
func errorText(e *Error) string {
	data, _ := json.Marshal(struct { // strings and numbers never fail
		Version int    `json:"version"`
		Code    int    `json:"v4code"`
		Message string `json:"message"`
	}{1, e.Code, e.Text})
	return asciiJSON(data)
}

// fail answers with an error.
func (s service) fail(w http.ResponseWriter, r *http.Request, err error) {
	refusal, ok := errors.AsType[*Error](err)
	switch {
	case ok:
	case r.Context().Err() != nil:
		panic(http.ErrAbortHandler) // the Worker has gone: no answer could be right
	default:
		s.b.store.log.Error("an R2 request failed", "bucket", s.b.name, "method", r.Method, "error", err)
		refusal = errInternal
	}
	// A peer that is still sending would lose the answer to the closing of the
	// connection.
	io.CopyN(io.Discard, r.Body, maxDrain)
	h := w.Header()
	h[errorHeader] = []string{errorText(refusal)}
	h["Content-Length"] = []string{"0"}
	w.WriteHeader(refusal.Status)
}
