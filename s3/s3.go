// Package s3 is the S3 API of R2: an http.Handler over the buckets of package r2,
// for every client that speaks Amazon's protocol.
//
// # What is promised
//
// What package r2 promises holds here too. Beyond that:
//
//   - Nothing is done for a request before it has been verified, and nothing is
//     written before its body has come whole and with the digests that it claims.
//   - A key is what stands on the wire, decoded once: "../", "//" and "%2e" in it
//     mean nothing.
//   - Memory use does not depend on the size of an object, and is bounded for
//     bodies of XML.
//   - What R2 does not have is refused with NotImplemented, never ignored, if a
//     client could rely on it: ACLs, tags, versions, policies, other encryption.
//
// Operations are those that R2 has; see the table in route.go.
//
// Source: https://developers.cloudflare.com/r2/api/s3/api/ and, where that says
// nothing, https://docs.aws.amazon.com/AmazonS3/latest/API/Welcome.html
package s3

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/selvage-edge/selvage/binding/r2"
	"github.com/selvage-edge/selvage/storage/budget"
	"github.com/selvage-edge/selvage/telemetry"
)

// Region is the one that R2 has.
const Region = "auto"

// hostID stands where Amazon names the server that answered.
const hostID = "selvage"

// Options are what a Handler is made of.
type Options struct {
	// Store has the buckets. Required.
	Store *r2.Store
	// Owner is the id of the account that owns all buckets. Required.
	Owner string
	// Verify says who sent a request and what that may do. It replaces the body by
	// one whose reading fails if it is not what was signed. Required.
	Verify func(r *http.Request) (Access, error)
	// Hosts are names, in lower case, at which buckets answer as <bucket>.<host>,
	// and all of them in the path. Anywhere else the bucket is in the path.
	Hosts []string
	// Memory bounds what bodies of XML take of this process's memory. Nil: no bound.
	Memory *budget.Budget
	// Audit is told of each operation that changes the list of buckets or their
	// settings, before it is done: what cannot be recorded does not happen. Of the
	// record, what is known by then is set. May be nil.
	Audit func(ctx context.Context, r Record) error
	// Access is called after each request, on its goroutine. May be nil.
	Access func(Record)
	// Logger gets requests that failed for a reason of ours. Default
	// slog.Default().
	Logger *slog.Logger
}

// Access is what the sender of a request may do.
type Access struct {
	// Key is the id of the access key.
	Key string
	// Allows says whether the key is for a bucket, to read or to write. The bucket
	// "" stands for the list of buckets and their settings.
	Allows func(bucket string, write bool) bool
}

// Record says how a request ended.
type Record struct {
	// Ray is the Ray ID, which clients see as the request's id.
	Ray string
	// Client is the address of the client.
	Client netip.Addr
	// Key is the id of the access key; empty if the request was not verified.
	Key string
	// Operation is S3's name: "GetObject".
	Operation string
	// Bucket is empty for ListBuckets.
	Bucket             string
	Method, Host, Path string
	// Status is what was sent; 499 when the client left before.
	Status int
	// Code is S3's of the error, empty without one.
	Code string
	// Received and Sent are bytes of bodies.
	Received, Sent int64
	Duration       time.Duration
	// Aborted: the response broke off.
	Aborted bool
}

// statusClientLeft is that of a client that did not wait for the response.
const statusClientLeft = 499

// Handler answers S3 requests. It is safe for concurrent use.
type Handler struct {
	store   *r2.Store
	options Options
}

// New makes a Handler.
func New(o Options) *Handler {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Handler{o.Store, o}
}

// call is one request and its response.
type call struct {
	*Handler
	w *response
	r *http.Request
	address
	op     operation
	access Access
	record *Record
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	client, _ := netip.ParseAddrPort(r.RemoteAddr)
	record := Record{Client: client.Addr().Unmap(), Method: r.Method, Host: r.Host, Path: r.URL.Path}
	if known := telemetry.RequestFrom(r.Context()); known != nil { // through the edge
		record.Ray, record.Client = known.Ray, known.ClientIP
	} else {
		record.Ray = telemetry.NewRay()
	}
	out := &response{ResponseWriter: w}
	// A copy: net/http looks at its own body afterwards.
	r = r.WithContext(r.Context())
	body := &counter{ReadCloser: r.Body}
	r.Body = body
	c := &call{Handler: h, w: out, r: r, record: &record}
	record.Aborted = true
	defer func() {
		if h.options.Access == nil {
			return
		}
		record.Status, record.Sent, record.Received, record.Duration = out.status, out.sent, body.n, time.Since(start)
		h.options.Access(record)
	}()
	header := w.Header()
	header["X-Amz-Request-Id"] = []string{record.Ray}
	header["X-Amz-Id-2"] = []string{hostID}
	header["Server"] = []string{"selvage"}
	if err := c.serve(); err != nil {
		record.Code = c.fail(err)
	}
	record.Aborted = false
}

// serve does what the request asks for, or returns why not before anything of a
// response was written.
func (c *call) serve() error {
	var err error
	if c.address, err = c.parse(c.r); err != nil {
		return err
	}
	c.record.Bucket = c.bucketName
	if c.bucketName != "" {
		if done, err := c.cors(); done || err != nil {
			return err
		}
	}
	op, err := c.address.operation(c.r)
	c.op, c.record.Operation = op, op.name
	if err != nil {
		return err
	}
	if c.access, err = c.options.Verify(c.r); err != nil {
		return err
	}
	c.record.Key = c.access.Key
	if op.do == nil {
		return notImplemented(op.name)
	}
	scope := c.bucketName
	if op.settings {
		scope = ""
	}
	if !c.access.Allows(scope, op.write) {
		return errAccessDenied
	}
	if err := refuseHeaders(c.r.Header); err != nil {
		return err
	}
	if op.settings && op.write && c.options.Audit != nil {
		if err := c.options.Audit(c.r.Context(), *c.record); err != nil {
			return err
		}
	}
	return op.do(c)
}

// fail answers with an error, and returns its code.
func (c *call) fail(err error) string {
	e := classify(c.r.Context(), err)
	if e == nil || e == errInternal || e.Status >= 500 && e.Status != http.StatusNotImplemented {
		level := slog.LevelError
		if e == nil {
			level = slog.LevelDebug
		}
		c.options.Logger.Log(context.WithoutCancel(c.r.Context()), level, "an S3 request failed", "ray", c.record.Ray, "operation", c.op.name, "bucket", c.bucketName, "key", c.key, "err", err)
	}
	if e == nil || c.w.status != 0 {
		if c.w.status == 0 {
			c.w.status = statusClientLeft
		}
		panic(http.ErrAbortHandler) // the client must not take it for whole
	}
	e.render(c.w, c.r, c.record.Ray)
	return e.Code
}

// bucket finds the bucket of the request.
func (c *call) bucket() (*r2.Bucket, error) { return c.find(c.bucketName) }

func (c *call) find(name string) (*r2.Bucket, error) {
	b, err := c.store.Bucket(name)
	if err != nil && r2.CheckName(name) != nil {
		return nil, r2.ErrBucketName
	}
	return b, err
}

// write answers with a document.
func (c *call) write(d *document) error {
	h := c.w.Header()
	h.Set("Content-Type", "application/xml")
	h.Set("Content-Length", strconv.Itoa(len(d.b)))
	c.w.Write(d.b) // fails only when the client has gone
	return nil
}

// empty answers without a body.
func (w *response) empty(status int) {
	if status != http.StatusNoContent {
		w.Header().Set("Content-Length", "0")
	}
	w.WriteHeader(status)
}

// response counts what is sent.
type response struct {
	http.ResponseWriter
	status int
	sent   int64
}

// Unwrap is for http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (w *response) WriteHeader(status int) {
	if status >= 200 && w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *response) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(p)
	w.sent += int64(n)
	return n, err
}

// ReadFrom implements io.ReaderFrom, so that the kernel can send a file.
func (w *response) ReadFrom(r io.Reader) (int64, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := io.Copy(w.ResponseWriter, r)
	w.sent += n
	return n, err
}

// counter counts what is read of a body.
type counter struct {
	io.ReadCloser
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.n += int64(n)
	return n, err
}

// hostName is a host without its port and in lower case.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
