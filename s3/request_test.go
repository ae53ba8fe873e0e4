package s3

import (
	"bufio"
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/binding/r2"
	"github.com/selvage-edge/selvage/internal/poll"
)

func sum64(s string) string {
	sum := md5.Sum([]byte(s))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// A bad request gets S3's status and code, and changes nothing.
func TestBadRequests(t *testing.T) {
	f := newFixture(t, false)
	b := f.bucket("files")
	f.put(b, "old", "content")
	long := strings.Repeat("k", r2.MaxKeyBytes+1)
	u, err := b.CreateMultipartUpload(context.Background(), "up", r2.PutOptions{})
	f.ok(err)
	upload := "/files/up?uploadId=" + u.ID()
	key := strings.Repeat("k", 32)
	customer := []string{"X-Amz-Server-Side-Encryption-Customer-Algorithm: AES256", "X-Amz-Server-Side-Encryption-Customer-Key: " + base64.StdEncoding.EncodeToString([]byte(key))}
	for _, c := range []struct {
		method, target, body string
		header               []string
		status               int
		code                 string
	}{
		{"PATCH", "/files/k", "", nil, 405, "MethodNotAllowed"},
		{"POST", "/files/k", "x", nil, 501, "NotImplemented"},
		{"GET", "/files?acl", "", nil, 501, "NotImplemented"},
		{"PUT", "/files?versioning", "<x/>", nil, 501, "NotImplemented"},
		{"GET", "/files?versions", "", nil, 501, "NotImplemented"},
		{"PUT", "/files/k?acl", "", nil, 501, "NotImplemented"},
		{"PUT", "/files/k?tagging", "<x/>", nil, 501, "NotImplemented"},
		{"DELETE", "/files?policy", "", nil, 501, "NotImplemented"},
		{"GET", "/files?encryption", "", nil, 404, "ServerSideEncryptionConfigurationNotFoundError"},
		{"GET", "/none/k", "", nil, 404, "NoSuchBucket"},
		{"GET", "/Not_A_Bucket/k", "", nil, 400, "InvalidBucketName"},
		{"GET", "//k", "", nil, 400, "InvalidBucketName"},
		{"PUT", "/ab", "", nil, 400, "InvalidBucketName"},
		{"PUT", "/files", "", nil, 409, "BucketAlreadyOwnedByYou"},
		{"PUT", "/more", "<CreateBucketConfiguration><LocationConstraint>mars</LocationConstraint></CreateBucketConfiguration>", nil, 400, "InvalidLocationConstraint"},
		{"PUT", "/more", "<CreateBucketConfiguration><Other/></CreateBucketConfiguration>", nil, 400, "MalformedXML"},
		{"DELETE", "/files", "", nil, 409, "BucketNotEmpty"},
		{"GET", "/files/none", "", nil, 404, "NoSuchKey"},
		{"GET", "/files/" + long, "", nil, 400, "KeyTooLongError"},
		{"PUT", "/files/" + long, "x", nil, 400, "KeyTooLongError"},
		{"DELETE", "/files/" + long, "", nil, 400, "KeyTooLongError"},
		{"POST", "/files/" + long + "?uploads", "", nil, 400, "KeyTooLongError"},
		{"PUT", "/files/%ff", "x", nil, 400, "InvalidObjectName"},
		{"GET", "/files/%c3%28", "", nil, 400, "InvalidObjectName"},
		{"PUT", "/files/new", "x", []string{"Content-Md5: " + sum64("y")}, 400, "BadDigest"},
		{"PUT", "/files/new", "x", []string{"Content-Md5: short"}, 400, "InvalidDigest"},
		{"PUT", "/files/new", "x", []string{"X-Amz-Checksum-Crc32: AAAAAA=="}, 400, "BadDigest"},
		{"PUT", "/files/new", "x", []string{"X-Amz-Checksum-Crc32: AAAA"}, 400, "InvalidRequest"},
		{"PUT", "/files/new", "x", []string{"X-Amz-Checksum-Crc64nvme: AAAAAAAAAAA="}, 400, "BadDigest"},
		{"PUT", "/files/new", "x", []string{"X-Amz-Checksum-Sha1: x", "X-Amz-Checksum-Sha256: x"}, 400, "InvalidRequest"},
		{"PUT", "/files/new", "x", []string{"X-Amz-Storage-Class: GLACIER"}, 400, "InvalidStorageClass"},
		{"PUT", "/files/new", "x", []string{"X-Amz-Acl: public-read"}, 501, "NotImplemented"},
		{"PUT", "/files/new", "x", []string{"X-Amz-Tagging: a=b"}, 501, "NotImplemented"},
		{"PUT", "/files/new", "x", []string{"X-Amz-Server-Side-Encryption: aws:kms"}, 501, "NotImplemented"},
		{"PUT", "/files/new", "x", []string{"X-Amz-Meta-A: " + strings.Repeat("m", r2.MaxMetadataBytes)}, 400, "MetadataTooLarge"},
		{"PUT", "/files/new", "x", []string{"If-Match: \"none\""}, 412, "PreconditionFailed"},
		{"PUT", "/files/old", "x", []string{"If-None-Match: *"}, 412, "PreconditionFailed"},
		{"PUT", "/files/new", "x", []string{"X-Amz-Server-Side-Encryption-Customer-Algorithm: AES256"}, 400, "InvalidArgument"},
		{"PUT", "/files/new", "x", []string{"X-Amz-Server-Side-Encryption-Customer-Algorithm: ROT13"}, 400, "InvalidEncryptionAlgorithmError"},
		{"PUT", "/files/new", "x", append(customer, "X-Amz-Server-Side-Encryption-Customer-Key-Md5: "+sum64("another")), 400, "InvalidArgument"},
		{"GET", "/files/old", "", append(customer, "X-Amz-Server-Side-Encryption-Customer-Key-Md5: "+sum64(key)), 400, "InvalidArgument"},
		{"GET", "/files/old", "", []string{"Range: bytes=7-"}, 416, "InvalidRange"},
		{"GET", "/files/old?partNumber=2", "", nil, 416, "InvalidPartNumber"},
		{"GET", "/files/old?partNumber=x", "", nil, 400, "InvalidArgument"},
		{"GET", "/files/old?partNumber=1", "", []string{"Range: bytes=0-1"}, 400, "InvalidRequest"},
		{"GET", "/files/old?response-content-type=a%0ab", "", nil, 400, "InvalidArgument"},
		{"GET", "/files?max-keys=x", "", nil, 400, "InvalidArgument"},
		{"GET", "/files?max-keys=1001", "", nil, 400, "InvalidMaxKeys"},
		{"GET", "/files?max-keys=-1", "", nil, 400, "InvalidMaxKeys"},
		{"GET", "/files?encoding-type=html", "", nil, 400, "InvalidArgument"},
		{"GET", "/files?list-type=3", "", nil, 400, "InvalidArgument"},
		{"GET", "/files?list-type=2&continuation-token=x", "", nil, 400, "InvalidArgument"},
		{"GET", "/files?list-type=2&continuation-token=", "", nil, 400, "InvalidArgument"},
		{"GET", "/files?prefix=%zz", "", nil, 400, "InvalidURI"},
		{"GET", "/files?cors", "", nil, 404, "NoSuchCORSConfiguration"},
		{"PUT", "/files?cors", "<CORSConfiguration><CORSRule><AllowedMethod>GET</AllowedMethod></CORSRule></CORSConfiguration>", nil, 400, "InvalidArgument"},
		{"PUT", "/files?cors", "", nil, 400, "MalformedXML"},
		{"PUT", "/none?cors", "<CORSConfiguration><CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod></CORSRule></CORSConfiguration>", nil, 404, "NoSuchBucket"},
		{"PUT", "/files?lifecycle", "<LifecycleConfiguration><Rule><Status>Maybe</Status></Rule></LifecycleConfiguration>", nil, 400, "MalformedXML"},
		{"PUT", "/files?lifecycle", "<LifecycleConfiguration><Rule><Status>Enabled</Status><Filter><Tag><Key>k</Key></Tag></Filter></Rule></LifecycleConfiguration>", nil, 501, "NotImplemented"},
		{"PUT", "/files?lifecycle", "<LifecycleConfiguration><Rule><Status>Enabled</Status><Prefix/><Expiration><Days>0</Days></Expiration></Rule></LifecycleConfiguration>", nil, 400, "InvalidArgument"},
		{"PUT", "/files?lifecycle", "<LifecycleConfiguration><Rule><Status>Enabled</Status><Prefix/></Rule></LifecycleConfiguration>", nil, 400, "InvalidArgument"},
		{"POST", "/files?delete", "", nil, 400, "MalformedXML"},
		{"POST", "/files?delete", "<Delete></Delete>", nil, 400, "MalformedXML"},
		{"POST", "/files?delete", "<Delete><Object><Key>old</Key></Object>", nil, 400, "MalformedXML"},
		{"POST", "/files?delete", "<Delete><Object><Key>old</Key><Key>other</Key></Object></Delete>", nil, 400, "MalformedXML"},
		{"POST", "/files?delete", "<Delete><Object><Key>old</Key></Object></Delete>", []string{"Content-Md5: " + sum64("other")}, 400, "BadDigest"},
		{"POST", "/files?delete", "<Delete>" + strings.Repeat("<Object><Key>old</Key></Object>", 1001) + "</Delete>", nil, 400, "MalformedXML"},
		{"POST", "/files?delete", "<Delete><Object><Key>old</Key><ETag>x</ETag></Object></Delete>", nil, 501, "NotImplemented"},
		{"POST", "/files?delete", "<!DOCTYPE a [<!ENTITY b \"old\">]><Delete><Object><Key>&b;</Key></Object></Delete>", nil, 400, "MalformedXML"},
		{"POST", "/files?delete", strings.Repeat("<Delete>", 100_000), nil, 400, "MalformedXML"},
		{"POST", "/files?delete", "<" + strings.Repeat("D", 1<<20) + "/>", nil, 400, "MalformedXML"},
		{"POST", "/files?delete", "<Delete a=\"" + strings.Repeat("x", maxDocument) + "\"/>", nil, 400, "MalformedXML"},
		{"PUT", upload + "&partNumber=0", "x", nil, 400, "InvalidArgument"},
		{"PUT", upload + "&partNumber=10001", "x", nil, 400, "InvalidArgument"},
		{"PUT", upload, "x", nil, 400, "InvalidArgument"},
		{"PUT", "/files/up?partNumber=1&uploadId=none", "x", nil, 404, "NoSuchUpload"},
		{"PUT", "/files/other?partNumber=1&uploadId=" + u.ID(), "x", nil, 404, "NoSuchUpload"},
		{"PUT", upload + "&partNumber=1", "x", []string{"Content-Md5: " + sum64("y")}, 400, "BadDigest"},
		{"GET", "/files/up?uploadId=none", "", nil, 404, "NoSuchUpload"},
		{"DELETE", "/files/up?uploadId=none", "", nil, 404, "NoSuchUpload"},
		{"POST", upload, "<CompleteMultipartUpload/>", nil, 400, "MalformedXML"},
		{"POST", upload, "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>", nil, 400, "InvalidPart"},
		{"POST", upload, "<CompleteMultipartUpload><Part><PartNumber>2</PartNumber><ETag>x</ETag></Part><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>", nil, 400, "InvalidPartOrder"},
		{"POST", "/files/n?uploads", "", []string{"X-Amz-Checksum-Algorithm: MD4"}, 400, "InvalidRequest"},
		{"POST", "/files/n?uploads", "", []string{"X-Amz-Checksum-Algorithm: CRC32", "X-Amz-Checksum-Type: FULL_OBJECT"}, 400, "InvalidRequest"},
		{"PUT", "/files/new", "", []string{"X-Amz-Copy-Source: old"}, 400, "InvalidArgument"},
		{"PUT", "/files/new", "", []string{"X-Amz-Copy-Source: /files/none"}, 404, "NoSuchKey"},
		{"PUT", "/files/new", "", []string{"X-Amz-Copy-Source: /none/old"}, 404, "NoSuchBucket"},
		{"PUT", "/files/new", "", []string{"X-Amz-Copy-Source: /files/%zz"}, 400, "InvalidArgument"},
		{"PUT", "/files/new", "", []string{"X-Amz-Copy-Source: /files/old?versionId=1"}, 501, "NotImplemented"},
		{"PUT", "/files/new", "", []string{"X-Amz-Copy-Source: /files/old", "X-Amz-Metadata-Directive: FORGET"}, 400, "InvalidArgument"},
		{"PUT", "/files/new", "", []string{"X-Amz-Copy-Source: /files/old", "X-Amz-Copy-Source-If-Match: x"}, 412, "PreconditionFailed"},
		{"PUT", "/files/new", "", []string{"X-Amz-Copy-Source: /files/old", "X-Amz-Copy-Source-If-None-Match: *"}, 412, "PreconditionFailed"},
		{"PUT", "/files/old", "", []string{"X-Amz-Copy-Source: /files/old"}, 400, "InvalidRequest"},
		{"PUT", upload + "&partNumber=1", "", []string{"X-Amz-Copy-Source: /files/old", "X-Amz-Copy-Source-Range: bytes=2-"}, 400, "InvalidArgument"},
		{"PUT", upload + "&partNumber=1", "", []string{"X-Amz-Copy-Source: /files/old", "X-Amz-Copy-Source-Range: bytes=2-99"}, 400, "InvalidArgument"},
	} {
		a := f.do(c.method, c.target, c.body, c.header...)
		if len(c.target) > 60 {
			c.target = c.target[:60] + "…"
		}
		if a.StatusCode != c.status || !strings.Contains(a.body, code(c.code)) {
			t.Errorf("%s %s %s: %d %.300s, want %d %s", c.method, c.target, c.header, a.StatusCode, a.body, c.status, c.code)
		}
		if id := a.Header.Get("X-Amz-Request-Id"); id == "" || !strings.Contains(a.body, "<RequestId>"+id+"</RequestId>") || !strings.Contains(a.body, "<HostId>") {
			t.Errorf("%s %s: request id %q in %s", c.method, c.target, id, a.body)
		}
	}
	page, err := b.List(context.Background(), r2.ListOptions{})
	f.ok(err)
	if len(page.Objects) != 1 || page.Objects[0].Key != "old" || page.Objects[0].Size != 7 {
		t.Errorf("something was written: %+v", page.Objects)
	}
	if _, err := u.EachPart(context.Background(), 1, func(p r2.PartInfo) bool { t.Errorf("part %+v was written", p); return true }); err != nil {
		t.Error(err)
	}
	infos, err := f.store.Buckets(context.Background())
	f.ok(err)
	if len(infos) != 1 {
		t.Errorf("buckets %+v", infos)
	}
}

// HEAD has no body, whatever it is about.
func TestHeadHasNoBody(t *testing.T) {
	f := newFixture(t, false)
	f.put(f.bucket("files"), "k", "content")
	for target, status := range map[string]int{"/files": 200, "/files/k": 200, "/none": 404, "/files/none": 404} {
		a := f.do("HEAD", target, "")
		a.want(t, status)
		if a.body != "" {
			t.Errorf("%s: %q", target, a.body)
		}
	}
	if h := f.do("HEAD", "/files/k", "").Header; h.Get("Content-Length") != "7" || h.Get("ETag") == "" || h.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("%v", h)
	}
}

// exchange sends bytes as they are and returns the answer.
func (f *fixture) exchange(text string) *http.Response {
	f.t.Helper()
	c, err := net.Dial("tcp", f.addr)
	f.ok(err)
	f.t.Cleanup(func() { c.Close() })
	_, err = io.WriteString(c, text)
	f.ok(err)
	f.ok(c.(*net.TCPConn).CloseWrite())
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	f.ok(err)
	return resp
}

// A key is what stands on the wire: nothing of it is cleaned, and every character
// is stored and listed.
func TestKeys(t *testing.T) {
	f := newFixture(t, false)
	b := f.bucket("files")
	ctx := context.Background()
	var all strings.Builder
	for c := range rune(0x100) {
		all.WriteRune(c)
	}
	for target, key := range map[string]string{
		"/files/../etc/passwd":            "../etc/passwd",
		"/files/a/../b":                   "a/../b",
		"/files/%2e%2e/x":                 "../x",
		"/files/./x":                      "./x",
		"/files//x//y/":                   "/x//y/",
		"/files/a%2Fb":                    "a/b",
		"/files/a+b":                      "a+b",
		"/files/a%20b":                    "a b",
		"/files/%25zz":                    "%zz",
		"/files/a%00b":                    "a\x00b",
		"/files/%0d%0aX-A:%20b":           "\r\nX-A: b",
		"/files/.":                        ".",
		"/files/..":                       "..",
		"/files/" + url.PathEscape("ü漢😀"): "ü漢😀",
		"/files/" + strings.ReplaceAll(url.QueryEscape(all.String()), "+", "%20"): all.String(),
	} {
		request := fmt.Sprintf("PUT %s HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx", target)
		if resp := f.exchange(request); resp.StatusCode != 200 {
			body, _ := io.ReadAll(resp.Body)
			t.Errorf("PUT %s: %d %s", target, resp.StatusCode, body)
			continue
		}
		if _, err := b.Head(ctx, key); err != nil {
			t.Errorf("PUT %s: %v", target, err)
		}
		if resp := f.exchange("GET " + target + " HTTP/1.1\r\nHost: x\r\n\r\n"); resp.StatusCode != 200 {
			t.Errorf("GET %s: %d", target, resp.StatusCode)
		}
		listed := f.do("GET", "/files?list-type=2&encoding-type=url&prefix="+url.QueryEscape(key), "")
		listed.want(t, 200, "<Key>"+encodeURL(key)+"</Key>")
		f.ok(b.Delete(ctx, key))
	}
	if resp := f.exchange("GET /files/%zz HTTP/1.1\r\nHost: x\r\n\r\n"); resp.StatusCode != 400 {
		t.Errorf("a malformed escape: %d", resp.StatusCode)
	}
	f.put(b, "a\x01<&>\"", "")
	f.do("GET", "/files", "").want(t, 200, "<Key>a&#x1;&lt;&amp;&gt;&quot;</Key>")
}

// A body that breaks off leaves nothing behind.
func TestTruncatedBodies(t *testing.T) {
	f := newFixture(t, false)
	b := f.bucket("files")
	u, err := b.CreateMultipartUpload(context.Background(), "up", r2.PutOptions{})
	f.ok(err)
	for _, body := range []string{"", "short", strings.Repeat("x", r2.InlineBytes+10)} {
		for _, target := range []string{"/files/k", "/files/up?partNumber=1&uploadId=" + u.ID()} {
			resp := f.exchange(fmt.Sprintf("PUT %s HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n%s", target, body))
			text, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != 400 || !bytes.Contains(text, []byte(code("IncompleteBody"))) {
				t.Errorf("%s with %d bytes: %d %s", target, len(body), resp.StatusCode, text)
			}
		}
	}
	resp := f.exchange("PUT /files/k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n")
	if resp.StatusCode != http.StatusLengthRequired {
		t.Errorf("without a length: %d", resp.StatusCode)
	}
	if _, err := b.Head(context.Background(), "k"); err == nil {
		t.Error("there is an object")
	}
}

// A client that leaves in the middle of an answer is no failure of ours.
func TestClientLeaves(t *testing.T) {
	f := newFixture(t, false)
	b := f.bucket("files")
	const size = 64 << 20 // more than sockets hold
	_, err := b.Put(context.Background(), "k", io.LimitReader(zeros{}, size), r2.PutOptions{})
	f.ok(err)
	for _, header := range []string{"", "Range: bytes=1-\r\n"} {
		c, err := net.Dial("tcp", f.addr)
		f.ok(err)
		_, err = io.WriteString(c, "GET /files/k HTTP/1.1\r\nHost: x\r\n"+header+"\r\n")
		f.ok(err)
		_, err = io.ReadFull(c, make([]byte, 1000))
		f.ok(err)
		f.ok(c.Close())
	}
	poll.Until(t, "both requests end", func() bool { f.mu.Lock(); defer f.mu.Unlock(); return len(f.records) == 2 })
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.records {
		if !r.Aborted || r.Status < 200 || r.Status > 206 {
			t.Errorf("%+v", r)
		}
	}
	if f.log.Len() > 0 {
		t.Errorf("logged: %s", &f.log)
	}
}

// What an access key may not do is refused before anything is looked at.
func TestAccess(t *testing.T) {
	f := newFixture(t, false)
	f.put(f.bucket("mine"), "k", "x")
	f.put(f.bucket("theirs"), "k", "x")
	f.allows = func(b string, write bool) bool { return b == "mine" && !write }
	for _, c := range []struct {
		method, target string
		header         []string
		status         int
	}{
		{"GET", "/mine/k", nil, 200},
		{"GET", "/mine?list-type=2", nil, 200},
		{"HEAD", "/mine", nil, 200},
		{"GET", "/mine?location", nil, 200},
		{"PUT", "/mine/k", nil, 403},
		{"DELETE", "/mine/k", nil, 403},
		{"POST", "/mine?delete", nil, 403},
		{"GET", "/theirs/k", nil, 403},
		{"GET", "/none/k", nil, 403},
		{"GET", "/", nil, 403},
		{"PUT", "/new-one", nil, 403},
		{"GET", "/mine?cors", nil, 403},
	} {
		f.do(c.method, c.target, "", c.header...).want(t, c.status)
	}
	f.allows = func(b string, write bool) bool { return b == "mine" }
	f.do("PUT", "/mine/k2", "", "X-Amz-Copy-Source: /mine/k").want(t, 200)
	f.do("PUT", "/mine/k2", "", "X-Amz-Copy-Source: /theirs/k").want(t, 403, code("AccessDenied"))
	f.do("PUT", "/mine?lifecycle", "<LifecycleConfiguration/>").want(t, 403)
	f.do("PUT", "/absent/k", "x", "Cf-Create-Bucket-If-Missing: true").want(t, 403)
	f.do("DELETE", "/mine", "").want(t, 403)
}

func TestVirtualHosts(t *testing.T) {
	f := newFixture(t, false)
	f.put(f.bucket("files"), "a/b", "x")
	for _, c := range []struct {
		host, target string
		status       int
	}{
		{"files.s3.test", "/a/b", 200},
		{"FILES.S3.test:9000", "/a/b", 200},
		{"files.s3.test.", "/a/b", 200},
		{"files.s3.test", "/files/a/b", 404},
		{"s3.test", "/files/a/b", 200},
		{"other.test", "/files/a/b", 200},
		{"files.other.test", "/a/b", 400},
	} {
		f.do("GET", c.target, "", "Host: "+c.host).want(t, c.status)
	}
	f.do("GET", "/?list-type=2", "", "Host: files.s3.test").want(t, 200, "<Key>a/b</Key>")
	f.do("GET", "/", "", "Host: s3.test").want(t, 200, "<Name>files</Name>")
}

func TestRecords(t *testing.T) {
	f := newFixture(t, false)
	f.bucket("files")
	f.do("PUT", "/files/a", "content")
	f.do("GET", "/files/a?x=y", "")
	f.do("GET", "/files/none", "")
	poll.Until(t, "three records", func() bool { f.mu.Lock(); defer f.mu.Unlock(); return len(f.records) == 3 })
	f.mu.Lock()
	defer f.mu.Unlock()
	var got []string
	for _, r := range f.records {
		if r.Ray == "" || !r.Client.IsLoopback() || r.Key != keyID || r.Bucket != "files" {
			t.Errorf("%+v", r)
		}
		got = append(got, fmt.Sprint(r.Operation, " ", r.Method, " ", r.Path, " ", r.Status, r.Code, " ", r.Received, " ", r.Sent > 0))
	}
	want := "PutObject PUT /files/a 200 7 false; GetObject GET /files/a 200 0 true; GetObject GET /files/none 404NoSuchKey 0 true"
	if strings.Join(got, "; ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, "; "), want)
	}
}
