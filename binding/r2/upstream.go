package r2

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/selvage-edge/selvage/config"
)

// upstream are the objects of a bucket that another S3 server keeps, in a bucket
// of its own. Semantics are those of this package as far as S3 carries them:
//
//   - An object is replaced at one moment, and what was acknowledged is as durable
//     as the server makes it. Several objects are not deleted at one moment.
//   - A condition is tested here, and holds until the write by If-Match or
//     If-None-Match, which the server has to heed on a PUT.
//   - Times are whole seconds. A version is made of the ETag and the time.
//   - What S3 has no place for is in the object's metadata; see carried.
//   - Contents are compared with their checksums here before the server has their
//     last byte, so that it never stores one that is refused.
//
// Calls that may be repeated without harm are, twice; see newRemote. Nothing is
// kept on this node.
type upstream struct {
	*Bucket
	*remote
}

// remote is a bucket on another server. It is safe for concurrent use.
type remote struct {
	name    string // of the bucket there
	host    string
	timeout time.Duration
	// again repeats a call that fails; once does not.
	again, once *minio.Core
	silent      atomic.Bool // the server did not answer the last call
}

// newRemote says what is wrong with the settings. It does not ask the server,
// which may come up later.
func newRemote(c config.Upstream) (*remote, error) {
	r := &remote{name: c.Resource, host: c.Endpoint.Host, timeout: c.Timeout}
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           r.dial,
		TLSHandshakeTimeout:   c.Timeout,
		ResponseHeaderTimeout: c.Timeout,
		// S3 servers close idle connections soon, and a PUT on one that is being closed
		// is lost: it cannot be repeated.
		IdleConnTimeout:     15 * time.Second,
		MaxIdleConnsPerHost: 64,
		// An object with Content-Encoding is given as it was stored.
		DisableCompression: true,
	}
	lookup := minio.BucketLookupDNS
	if c.PathStyle {
		lookup = minio.BucketLookupPath
	}
	for core, tries := range map[**minio.Core]int{&r.again: 3, &r.once: 1} {
		made, err := minio.NewCore(c.Endpoint.Host, &minio.Options{
			Creds: credentials.NewStaticV4(c.KeyID, c.Secret, ""), Secure: c.Endpoint.Scheme == "https",
			Region: c.Region, BucketLookup: lookup, Transport: transport, MaxRetries: tries,
		})
		if err != nil {
			return nil, err
		}
		*core = made
	}
	return r, nil
}

func (r *remote) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: r.timeout}
	c, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &impatientConn{c, r.timeout}, nil
}

// impatientConn gives up when the other side takes nothing. Reading is bounded
// elsewhere: while a body is sent, nothing comes, for as long as it takes.
type impatientConn struct {
	net.Conn
	timeout time.Duration
}

func (c *impatientConn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// answers are R2's errors for the codes of S3 that are about the call.
var answers = map[string]*Error{
	"NoSuchKey": ErrNoSuchKey, "NoSuchUpload": ErrNoSuchUpload, "InvalidPart": ErrInvalidPart, "InvalidPartOrder": ErrInvalidPart,
	"EntityTooSmall": ErrPartTooSmall, "EntityTooLarge": ErrTooLarge, "MetadataTooLarge": ErrMetadataTooLarge,
	"PreconditionFailed": ErrPreconditionFailed, "ConditionalRequestConflict": ErrPreconditionFailed,
	"BadDigest": ErrBadDigest, "InvalidRange": ErrInvalidRange, "KeyTooLongError": ErrObjectName, "InvalidObjectName": ErrObjectName,
	"InvalidStorageClass": {http.StatusBadRequest, ErrInvalidArgument.Code, "The server that keeps the bucket does not have this storage class."},
}

// result makes an R2 error of that of a call. What is not the caller's fault is
// ErrUnavailable while the server does not answer or is overloaded, and an internal
// error, for the operator to look at, when it refuses us.
func (u upstream) result(ctx context.Context, err error) error {
	if err == nil {
		u.answered(nil)
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if of, ok := errors.AsType[contentError](err); ok {
		return of.error // the server has done nothing wrong
	}
	said, ok := errors.AsType[minio.ErrorResponse](err)
	if answer := answers[said.Code]; ok && answer != nil {
		u.answered(nil)
		return answer
	}
	if ok && said.StatusCode > 0 && said.StatusCode < 500 && said.StatusCode != http.StatusTooManyRequests && said.Code != "SlowDown" {
		u.answered(nil)
		return fmt.Errorf("bucket %s on %s: %s: %s", u.remote.name, u.host, said.Code, said.Message)
	}
	u.answered(err)
	return fmt.Errorf("%w: bucket %s on %s: %w", ErrUnavailable, u.remote.name, u.host, err)
}

// answered tells the operator when the server falls silent, and when it is back.
func (u upstream) answered(err error) {
	switch was := u.silent.Swap(err != nil); {
	case err != nil && !was:
		u.store.log.Error("the S3 server that keeps a bucket does not answer", "bucket", u.Bucket.name, "server", u.host, "error", err)
	case err == nil && was:
		u.store.log.Info("the S3 server that keeps a bucket answers again", "bucket", u.Bucket.name, "server", u.host)
	}
}

func (u upstream) head(ctx context.Context, key string) (*Object, error) {
	info, err := u.again.StatObject(ctx, u.remote.name, key, minio.StatObjectOptions{})
	if err = u.result(ctx, err); err != nil {
		return nil, err
	}
	return objectOfHeaders(key, info.Size, info)
}

// part asks for the extent of a part: sizes of parts are nowhere else.
func (u upstream) part(ctx context.Context, o *Object, n int) (at Range, parts int, err error) {
	first, last := int64(0), o.Size-1
	_, count, several := strings.Cut(o.ETag, "-")
	if !several {
		if n > 1 {
			return at, 0, ErrInvalidRange
		}
		return Range{Offset: &first, Length: &o.Size}, 0, nil
	}
	if parts, err = strconv.Atoi(count); err != nil || n > parts {
		return at, parts, ErrInvalidRange
	}
	options := minio.StatObjectOptions{PartNumber: n}
	if err := options.SetMatchETag(o.ETag); err != nil {
		return at, parts, err
	}
	info, err := u.again.StatObject(ctx, u.remote.name, o.Key, options)
	if err = u.result(ctx, err); err != nil {
		return at, parts, err
	}
	said := info.Headers.Get("Content-Range")
	if _, err := fmt.Sscanf(said, "bytes %d-%d/", &first, &last); err != nil || first < 0 || last < first || last >= o.Size {
		return at, parts, fmt.Errorf("bucket %s on %s: part %d of %q is said to be %q", u.remote.name, u.host, n, o.Key, said)
	}
	length := last - first + 1
	return Range{Offset: &first, Length: &length}, parts, nil
}

// tries bounds how often a call begins anew because others write the key.
const tries = 5

func (u upstream) get(ctx context.Context, key string, o GetOptions) (*Reader, error) {
	if o.SSECKey != nil {
		return nil, errSSECUnused
	}
	for range tries {
		r, err := u.open(ctx, key, o)
		if !errors.Is(err, errReplaced) {
			return r, err
		}
	}
	return nil, ErrUnavailable
}

// errReplaced says that the object is not the one any more that was looked at.
var errReplaced = errors.New("replaced meanwhile")

func (u upstream) open(ctx context.Context, key string, o GetOptions) (*Reader, error) {
	if o.OnlyIf == nil && o.Range == nil && o.RangeHeader == "" && o.Part == 0 {
		body, info, err := u.fetch(ctx, key, minio.GetObjectOptions{})
		if err != nil {
			return nil, err
		}
		object, err := objectOfHeaders(key, info.Size, info)
		if err != nil {
			body.Close()
			return nil, err
		}
		body.left = object.Size
		return &Reader{Object: *object, Length: object.Size, content: body}, nil
	}
	object, err := u.head(ctx, key)
	if err != nil {
		return nil, err
	}
	r := &Reader{Object: *object, Length: object.Size, content: http.NoBody}
	if !o.OnlyIf.Holds(object) {
		return r, ErrPreconditionFailed
	}
	if r.Offset, r.Length, r.Parts, err = u.Extent(ctx, object, o); err != nil {
		return nil, err
	}
	if r.Length == 0 {
		return r, nil
	}
	var options minio.GetObjectOptions
	err = errors.Join(options.SetMatchETag(object.ETag), options.SetRange(r.Offset, r.Offset+r.Length-1))
	if err != nil {
		return nil, err
	}
	body, info, err := u.fetch(ctx, key, options)
	if errors.Is(err, ErrPreconditionFailed) || errors.Is(err, ErrInvalidRange) {
		return nil, errReplaced
	}
	if err != nil {
		return nil, err
	}
	if body.left = r.Length; info.Size != r.Length {
		body.Close()
		return nil, fmt.Errorf("bucket %s on %s: %d bytes of %q were asked for, and %d came", u.remote.name, u.host, r.Length, key, info.Size)
	}
	r.content = body
	return r, nil
}

// fetch asks for a content. Of the info, Size is what comes.
func (u upstream) fetch(ctx context.Context, key string, o minio.GetObjectOptions) (*incoming, minio.ObjectInfo, error) {
	reading, cancel := context.WithCancel(ctx)
	body, info, _, err := u.again.GetObject(reading, u.remote.name, key, o)
	if err = u.result(ctx, err); err != nil {
		cancel()
		return nil, info, err
	}
	u.store.reading.Add(1)
	in := &incoming{u: u, ctx: ctx, body: body, cancel: cancel}
	in.silence = time.AfterFunc(u.timeout, cancel)
	in.silence.Stop()
	return in, info, nil
}

// incoming is a content that comes from the server.
type incoming struct {
	u       upstream
	ctx     context.Context
	body    io.ReadCloser
	cancel  context.CancelFunc
	silence *time.Timer // cancels while nothing comes
	left    int64
	closed  bool
}

func (in *incoming) Read(p []byte) (int, error) {
	if in.left == 0 || in.closed {
		return 0, io.EOF
	}
	in.silence.Reset(in.u.timeout)
	n, err := in.body.Read(p[:min(int64(len(p)), in.left)])
	in.silence.Stop()
	in.left -= int64(n)
	switch {
	case err == io.EOF && in.left > 0:
		err = in.u.result(in.ctx, io.ErrUnexpectedEOF)
	case err != nil && err != io.EOF:
		err = in.u.result(in.ctx, err)
	}
	return n, err
}

func (in *incoming) Close() error {
	if in.closed {
		return nil
	}
	in.closed = true
	in.u.store.reading.Add(-1)
	in.silence.Stop()
	err := in.body.Close()
	in.cancel()
	return err
}

func (u upstream) delete(ctx context.Context, keys []string) error {
	if len(keys) == 1 {
		err := u.result(ctx, u.again.RemoveObject(ctx, u.remote.name, keys[0], minio.RemoveObjectOptions{}))
		if errors.Is(err, ErrNoSuchKey) {
			return nil
		}
		return err
	}
	list := make(chan minio.ObjectInfo, len(keys))
	for _, key := range keys {
		list <- minio.ObjectInfo{Key: key}
	}
	close(list)
	var failed error
	for refused := range u.again.RemoveObjects(ctx, u.remote.name, list, minio.RemoveObjectsOptions{}) {
		if err := u.result(ctx, refused.Err); failed == nil && !errors.Is(err, ErrNoSuchKey) {
			failed = err
		}
	}
	return failed
}
