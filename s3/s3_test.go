package s3

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/selvage-edge/selvage/binding/r2"
	"github.com/selvage-edge/selvage/edge/http1"
	"github.com/selvage-edge/selvage/s3/sigv4"
	"github.com/selvage-edge/selvage/storage/blob"
	"github.com/selvage-edge/selvage/storage/keyed"
)

const (
	owner  = "0123456789abcdef0123456789abcdef"
	keyID  = "key"
	secret = "a secret of an access key"
)

// fixture is an S3 API on a real socket.
type fixture struct {
	t     testing.TB
	store *r2.Store
	addr  string

	mu      sync.Mutex
	log     bytes.Buffer // of what failed for a reason of ours
	records []Record
	allows  func(bucket string, write bool) bool
}

// newFixture serves a store of its own. Unless signed, whoever asks is let in.
func newFixture(t testing.TB, signed bool) *fixture {
	t.Helper()
	f := &fixture{t: t, allows: func(string, bool) bool { return true }}
	db, err := keyed.Open(t.TempDir(), keyed.Options{})
	f.ok(err)
	blobs, err := blob.Open(t.TempDir() + "/blobs")
	f.ok(err)
	f.store, err = r2.OpenStore(db, blobs, r2.Options{})
	f.ok(err)
	verifier := sigv4.Verifier{Regions: []string{"auto", "us-east-1"}, Secret: func(_ context.Context, id string) (string, error) {
		if id != keyID {
			return "", sigv4.ErrNoKey
		}
		return secret, nil
	}}
	h := New(Options{
		Store: f.store, Owner: owner, Hosts: []string{"s3.test"}, Logger: slog.New(slog.NewTextHandler(f, nil)),
		Verify: func(r *http.Request) (Access, error) {
			access := Access{Key: keyID, Allows: func(b string, write bool) bool { f.mu.Lock(); defer f.mu.Unlock(); return f.allows(b, write) }}
			if !signed {
				return access, nil
			}
			_, err := verifier.Verify(r)
			return access, err
		},
		Access: func(r Record) { f.mu.Lock(); defer f.mu.Unlock(); f.records = append(f.records, r) },
	})
	server := http1.New(http1.Options{Handler: h, Logger: slog.New(slog.DiscardHandler), MaxConns: 100, MaxConnsPerClient: 100, HeaderTimeout: time.Minute, IdleTimeout: time.Minute})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	f.ok(err)
	f.addr = l.Addr().String()
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(context.Background(), l, nil) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		server.Shutdown(ctx)
		<-ended
		db.Close()
	})
	return f
}

// Write takes what is logged.
func (f *fixture) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.log.Write(p)
}

func (f *fixture) ok(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// client is minio's SDK.
func (f *fixture) client() *minio.Core {
	f.t.Helper()
	c, err := minio.NewCore(f.addr, &minio.Options{Creds: credentials.NewStaticV4(keyID, secret, ""), Region: "auto", BucketLookup: minio.BucketLookupPath, MaxRetries: 1, TrailingHeaders: true})
	f.ok(err)
	return c
}

// bucket makes a bucket.
func (f *fixture) bucket(name string) *r2.Bucket {
	f.t.Helper()
	b, err := f.store.Ensure(name)
	f.ok(err)
	return b
}

func (f *fixture) put(b *r2.Bucket, key, content string) {
	f.t.Helper()
	_, err := b.Put(context.Background(), key, strings.NewReader(content), r2.PutOptions{})
	f.ok(err)
}

// answer is a response that has been read.
type answer struct {
	*http.Response
	body string
}

// do sends a request whose header lines are "Name: value".
func (f *fixture) do(method, target, body string, header ...string) answer {
	f.t.Helper()
	r, err := http.NewRequest(method, "http://"+f.addr+target, strings.NewReader(body))
	f.ok(err)
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		if name == "Host" {
			r.Host = value
			continue
		}
		r.Header.Add(name, value)
	}
	if body == "" && method != "PUT" && method != "POST" {
		r.Body = nil
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	f.ok(err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	f.ok(err)
	return answer{resp, string(data)}
}

// want checks status and what the body has; a code stands for its element.
func (a answer) want(t testing.TB, status int, has ...string) {
	t.Helper()
	if a.StatusCode != status {
		t.Errorf("status %d, want %d: %s", a.StatusCode, status, a.body)
	}
	for _, s := range has {
		if !strings.Contains(a.body, s) {
			t.Errorf("the answer lacks %q: %s", s, a.body)
		}
	}
}

func code(s string) string { return "<Code>" + s + "</Code>" }

func TestObjectThroughSDK(t *testing.T) {
	f, ctx := newFixture(t, true), context.Background()
	c := f.client()
	f.ok(c.MakeBucket(ctx, "files", minio.MakeBucketOptions{}))
	for _, size := range []int{0, 1, r2.InlineBytes, r2.InlineBytes + 1, 1 << 20} {
		content := bytes.Repeat([]byte{'x'}, size)
		info, err := c.Client.PutObject(ctx, "files", "a/b c+ü", bytes.NewReader(content), int64(size), minio.PutObjectOptions{
			ContentType: "text/plain", UserMetadata: map[string]string{"colour": "grün"}, SendContentMd5: true})
		f.ok(err)
		object, err := c.Client.GetObject(ctx, "files", "a/b c+ü", minio.GetObjectOptions{})
		f.ok(err)
		got, err := io.ReadAll(object)
		f.ok(err)
		stat, err := c.StatObject(ctx, "files", "a/b c+ü", minio.StatObjectOptions{})
		f.ok(err)
		if !bytes.Equal(got, content) || stat.ContentType != "text/plain" || stat.ETag != info.ETag || stat.Size != int64(size) {
			t.Errorf("%d bytes: got %d, %+v", size, len(got), stat)
		}
	}
	list, err := c.ListObjectsV2("files", "a/", "", "", "", 10)
	f.ok(err)
	if len(list.Contents) != 1 || list.Contents[0].Key != "a/b c+ü" {
		t.Errorf("list: %+v", list)
	}
	f.ok(c.RemoveObject(ctx, "files", "a/b c+ü", minio.RemoveObjectOptions{}))
	_, err = c.StatObject(ctx, "files", "a/b c+ü", minio.StatObjectOptions{})
	if minio.ToErrorResponse(err).Code != "NoSuchKey" {
		t.Errorf("after the deletion: %v", err)
	}
	f.ok(c.RemoveBucket(ctx, "files"))
}
