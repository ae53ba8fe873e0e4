package serve

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/selvage-edge/selvage/cli/settings"
	"github.com/selvage-edge/selvage/control/state"
	"github.com/selvage-edge/selvage/internal/poll"
	"github.com/selvage-edge/selvage/platform"
)

// makeKey makes an access key of the S3 API before the server starts.
func makeKey(t testing.TB, dir string, k state.AccessKey) (id, secret string) {
	t.Helper()
	stores, _, err := platform.OpenStores(t.Context(), platform.StoreOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer stores.Close()
	made, _, err := stores.Keys.Create(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	if secret, err = stores.Keys.Secret(t.Context(), made.ID); err != nil {
		t.Fatal(err)
	}
	return made.ID, secret
}

// s3Client is minio's SDK. Every name leads to address.
func s3Client(t testing.TB, host, address, id, secret string, secure bool, style minio.BucketLookupType) *minio.Core {
	t.Helper()
	c, err := minio.NewCore(host, &minio.Options{
		Creds: credentials.NewStaticV4(id, secret, ""), Secure: secure, BucketLookup: style, MaxRetries: 1, TrailingHeaders: true,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableCompression: true,
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, address)
			}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The S3 API answers on a listener of its own with TLS, and at a host of the edge
// in both styles. What its clients do is logged, counted, and for buckets in the
// audit log; a reload brings another certificate.
func TestS3(t *testing.T) {
	dir := t.TempDir()
	s := testSettings(filepath.Join(dir, "data"))
	s.S3, s.S3Cert, s.S3Hosts, s.LogRequests = "127.0.0.1:0", certificate(t, dir, "s3", 1, "s3.test"), []string{"s3.test"}, true
	s.MaxBody = 1000 // of requests to Workers
	id, secret := makeKey(t, s.Data, state.AccessKey{Name: "ops", Write: true, Admin: true})
	reader, readerSecret := makeKey(t, s.Data, state.AccessKey{Name: "reader", Buckets: []string{"files"}})
	hangup := make(chan os.Signal)
	r := start(t, s, Options{Reload: hangup, Load: func() (*settings.Settings, error) { return s, nil }})
	var address string
	poll.Until(t, "the S3 API tells its address", func() bool { address = r.screen.after("S3 API\" url=https://"); return address != "" })
	edge := strings.TrimPrefix(r.edge, "http://")
	ctx := t.Context()

	key := "a/../b//c ü" // nothing cleans it
	content := bytes.Repeat([]byte("0123456789"), 20_000)
	for name, c := range map[string]*minio.Core{
		"listener":      s3Client(t, address, address, id, secret, true, minio.BucketLookupPath),
		"host":          s3Client(t, "s3.test", edge, id, secret, false, minio.BucketLookupPath),
		"virtual host":  s3Client(t, "s3.test", edge, id, secret, false, minio.BucketLookupDNS),
		"virtual again": s3Client(t, "s3.test", address, id, secret, true, minio.BucketLookupDNS),
		"localhost":     s3Client(t, "localhost:9000", address, id, secret, true, minio.BucketLookupDNS),
	} {
		if err := c.MakeBucket(ctx, "files", minio.MakeBucketOptions{}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := c.Client.PutObject(ctx, "files", key, bytes.NewReader(content), int64(len(content)), minio.PutObjectOptions{Checksum: minio.ChecksumCRC32C}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		body, _, _, err := c.GetObject(ctx, "files", key, minio.GetObjectOptions{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got, err := io.ReadAll(body); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: read %d bytes, %v", name, len(got), err)
		}
		list, err := c.ListObjectsV2("files", "", "", "", "", 0)
		if err != nil || len(list.Contents) != 1 || list.Contents[0].Key != key {
			t.Errorf("%s: %+v, %v", name, list, err)
		}
		if err := c.RemoveObject(ctx, "files", key, minio.RemoveObjectOptions{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := c.RemoveBucket(ctx, "files"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	other := s3Client(t, address, address, reader, readerSecret, true, minio.BucketLookupPath)
	if err := other.MakeBucket(ctx, "files", minio.MakeBucketOptions{}); minio.ToErrorResponse(err).Code != "AccessDenied" {
		t.Errorf("a key for reading made a bucket: %v", err)
	}
	wrong := s3Client(t, address, address, id, "wrong", true, minio.BucketLookupPath)
	if _, err := wrong.ListBuckets(ctx); minio.ToErrorResponse(err).Code != "SignatureDoesNotMatch" {
		t.Errorf("with another secret: %v", err)
	}

	for _, want := range []string{"S3 request", "key=" + id, "operation=PutObject", "received=200", "code=SignatureDoesNotMatch"} {
		poll.Until(t, want+" is logged", func() bool { return strings.Contains(r.screen.String(), want) })
	}
	_, metrics := r.get("/metrics", r.token)
	for _, want := range []string{`selvage_s3_requests_total{operation="PutObject",status="2xx"} 5`, `selvage_s3_duration_seconds_count{operation="GetObject"} 5`, `selvage_s3_bytes_total{direction="in"}`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	var log []state.Entry
	if err := r.api("GET", "/audit_logs", "", nil, &log); err != nil {
		t.Fatal(err)
	}
	made := 0
	for _, e := range log {
		if e.Token == id && e.Action == "S3 CreateBucket files" && e.From == "127.0.0.1" {
			made++
		}
	}
	if made != 5 {
		t.Errorf("the audit log has %d new buckets: %+v", made, log)
	}

	if err := r.upload("app", `export default { fetch() { return new Response("app") } }`, nil); err != nil {
		t.Fatal(err)
	}
	if err := r.call("POST", "/zones", "application/json", strings.NewReader(`{"name":"s3.test"}`), nil); err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"s3.test", "files.s3.test"} {
		err := r.api("PUT", "/workers/domains", "application/json", strings.NewReader(`{"hostname":"`+host+`","service":"app","environment":"production"}`), nil)
		if err == nil || !strings.Contains(err.Error(), "already belongs to the S3 API of R2") {
			t.Errorf("a Worker took %s: %v", host, err)
		}
	}

	serial := func() int64 {
		c, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	certificate(t, dir, "s3", 2, "s3.test")
	hangup <- syscall.SIGHUP
	poll.Until(t, "the new certificate is served", func() bool { return serial() == 2 })
}
