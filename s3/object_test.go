package s3

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/encrypt"

	"github.com/selvage-edge/selvage/binding/r2"
)

func TestRanges(t *testing.T) {
	f := newFixture(t, false)
	f.put(f.bucket("files"), "k", "0123456789")
	etag := f.do("HEAD", "/files/k", "").Header.Get("ETag")
	for _, c := range []struct {
		header []string
		status int
		body   string
		extent string
	}{
		{nil, 200, "0123456789", ""},
		{[]string{"Range: bytes=2-4"}, 206, "234", "bytes 2-4/10"},
		{[]string{"Range: bytes=8-"}, 206, "89", "bytes 8-9/10"},
		{[]string{"Range: bytes=-3"}, 206, "789", "bytes 7-9/10"},
		{[]string{"Range: bytes=-30"}, 206, "0123456789", "bytes 0-9/10"},
		{[]string{"Range: bytes=5-300"}, 206, "56789", "bytes 5-9/10"},
		{[]string{"Range: bytes=0-9223372036854775807"}, 206, "0123456789", "bytes 0-9/10"},
		{[]string{"Range: bytes=10-"}, 416, "", "bytes */10"},
		{[]string{"Range: bytes=10-20"}, 416, "", "bytes */10"},
		{[]string{"Range: bytes=-0"}, 416, "", "bytes */10"},
		{[]string{"Range: bytes=4-2"}, 200, "0123456789", ""},
		{[]string{"Range: bytes=1-2,4-5"}, 200, "0123456789", ""},
		{[]string{"Range: lines=1-2"}, 200, "0123456789", ""},
		{[]string{"Range: bytes=x"}, 200, "0123456789", ""},
		{[]string{"Range: bytes=2-4", "If-Range: " + etag}, 206, "234", "bytes 2-4/10"},
		{[]string{"Range: bytes=2-4", "If-Range: \"other\""}, 200, "0123456789", ""},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			a := f.do(method, "/files/k", "", c.header...)
			if method == "HEAD" && strings.Contains(strings.Join(c.header, ""), "If-Range") {
				continue
			}
			length := fmt.Sprint(len(c.body))
			if a.StatusCode != c.status || a.Header.Get("Content-Range") != c.extent || c.status < 300 && (method == "GET" && a.body != c.body || a.Header.Get("Content-Length") != length) {
				t.Errorf("%s %q: %d %q %v", method, c.header, a.StatusCode, a.body, a.Header)
			}
		}
	}
	f.put(f.bucket("files"), "empty", "")
	f.do("GET", "/files/empty", "", "Range: bytes=0-0").want(t, 416)
	f.do("GET", "/files/empty?partNumber=1", "").want(t, 200)
	f.do("GET", "/files/k?partNumber=1", "").want(t, 206, "0123456789")
}

// The order of RFC 9110: a tag that is asked for makes the time moot.
func TestConditions(t *testing.T) {
	f := newFixture(t, false)
	f.put(f.bucket("files"), "k", "x")
	head := f.do("HEAD", "/files/k", "").Header
	etag, modified := head.Get("ETag"), head.Get("Last-Modified")
	at, err := http.ParseTime(modified)
	f.ok(err)
	before, after := at.Add(-time.Hour).Format(http.TimeFormat), at.Add(time.Hour).Format(http.TimeFormat)
	for _, c := range []struct {
		header []string
		status int
	}{
		{[]string{"If-Match: " + etag}, 200},
		{[]string{"If-Match: " + strings.Trim(etag, `"`)}, 200},
		{[]string{"If-Match: *"}, 200},
		{[]string{"If-Match: \"other\", " + etag}, 200},
		{[]string{"If-Match: \"other\""}, 412},
		{[]string{"If-None-Match: " + etag}, 304},
		{[]string{"If-None-Match: W/" + etag}, 304},
		{[]string{"If-None-Match: \"other\""}, 200},
		{[]string{"If-Modified-Since: " + modified}, 304},
		{[]string{"If-Modified-Since: " + before}, 200},
		{[]string{"If-Modified-Since: nonsense"}, 200},
		{[]string{"If-Unmodified-Since: " + modified}, 200},
		{[]string{"If-Unmodified-Since: " + after}, 200},
		{[]string{"If-Unmodified-Since: " + before}, 412},
		{[]string{"If-Match: " + etag, "If-Unmodified-Since: " + before}, 200},
		{[]string{"If-None-Match: " + etag, "If-Modified-Since: " + before}, 304},
		{[]string{"If-None-Match: \"other\"", "If-Modified-Since: " + modified}, 200},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			a := f.do(method, "/files/k", "", c.header...)
			if a.StatusCode != c.status || c.status == 304 && (a.body != "" || a.Header.Get("ETag") != etag) {
				t.Errorf("%s %q: %d %q %v", method, c.header, a.StatusCode, a.body, a.Header)
			}
		}
	}
	f.do("PUT", "/files/k", "y", "If-Match: "+etag).want(t, 200)
	f.do("PUT", "/files/k", "z", "If-Match: "+etag).want(t, 412)
	f.do("PUT", "/files/new", "z", "If-None-Match: *").want(t, 200)
}

func TestMetadata(t *testing.T) {
	f := newFixture(t, false)
	b := f.bucket("files")
	f.do("PUT", "/files/k", "x", "Content-Type: text/css", "Content-Encoding: aws-chunked, gzip", "Cache-Control: no-store", "Content-Disposition: inline",
		"Content-Language: de", "Expires: Thu, 01 Jan 2037 00:00:00 GMT", "X-Amz-Storage-Class: STANDARD_IA",
		"X-Amz-Meta-Plain: a", "X-Amz-Meta-Twice: 1", "X-Amz-Meta-Twice: 2", "X-Amz-Meta-Word: =?utf-8?b?w7w=?=", "X-Amz-Meta-Raw: ü", "X-Amz-Meta-Latin: \xfc").want(t, 200)
	o, err := b.Head(context.Background(), "k")
	f.ok(err)
	if o.HTTP.ContentEncoding != "gzip" || o.StorageClass != r2.InfrequentAccess {
		t.Errorf("%+v", o)
	}
	if got := fmt.Sprint(o.Custom); got != "map[latin:ü plain:a raw:ü twice:1,2 word:ü]" {
		t.Error(got)
	}
	h := f.do("GET", "/files/k", "", "Accept-Encoding: gzip").Header
	for name, want := range map[string]string{
		"Content-Type": "text/css", "Content-Encoding": "gzip", "Cache-Control": "no-store", "Content-Disposition": "inline", "Content-Language": "de",
		"Expires": "Thu, 01 Jan 2037 00:00:00 GMT", "X-Amz-Storage-Class": "STANDARD_IA", "X-Amz-Meta-Plain": "a", "X-Amz-Meta-Word": "=?utf-8?b?w7w=?=", "Accept-Ranges": "bytes",
	} {
		if h.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, h.Get(name), want)
		}
	}
	_, err = b.Put(context.Background(), "k", strings.NewReader("x"), r2.PutOptions{Custom: map[string]string{"schlüssel": "a", "two words": "b", "Name": "c"}})
	f.ok(err)
	if h := f.do("HEAD", "/files/k", "").Header; h.Get("X-Amz-Missing-Meta") != "2" || h.Get("X-Amz-Meta-Name") != "c" {
		t.Errorf("%v", h)
	}
	h = f.do("GET", "/files/k?response-content-type=a/b&response-cache-control=c&response-content-disposition=d&response-content-encoding=e&response-content-language=f&response-expires=g", "").Header
	if got := fmt.Sprint(h.Get("Content-Type"), h.Get("Cache-Control"), h.Get("Content-Disposition"), h.Get("Content-Encoding"), h.Get("Content-Language"), h.Get("Expires")); got != "a/bcdefg" {
		t.Error(got)
	}
}

func TestChecksums(t *testing.T) {
	f := newFixture(t, false)
	f.bucket("files")
	sums := map[string]string{ // of "content"
		"X-Amz-Checksum-Crc32": "", "X-Amz-Checksum-Crc32c": "", "X-Amz-Checksum-Crc64nvme": "", "X-Amz-Checksum-Sha1": "", "X-Amz-Checksum-Sha256": "",
	}
	b := f.bucket("sums")
	o, err := b.Put(context.Background(), "k", strings.NewReader("content"), r2.PutOptions{Checksums: r2.Checksums{CRC32: []byte{}, CRC32C: []byte{}, CRC64NVME: []byte{}, SHA1: []byte{}, SHA256: []byte{}}})
	f.ok(err)
	for _, a := range algorithms {
		sums[a.header], _ = a.of(o)
	}
	for name, sum := range sums {
		a := f.do("PUT", "/files/k", "content", name+": "+sum)
		a.want(t, 200)
		if a.Header.Get(name) != sum {
			t.Errorf("%s: the answer has %q, want %q", name, a.Header.Get(name), sum)
		}
		f.do("PUT", "/files/k", "other", name+": "+sum).want(t, 400, code("BadDigest"))
		if h := f.do("GET", "/files/k", "", "X-Amz-Checksum-Mode: ENABLED").Header; h.Get(name) != sum || h.Get("X-Amz-Checksum-Type") != "FULL_OBJECT" {
			t.Errorf("%s: GET has %v", name, h)
		}
		if h := f.do("GET", "/files/k", "", "X-Amz-Checksum-Mode: ENABLED", "Range: bytes=0-1").Header; h.Get(name) != "" {
			t.Errorf("%s: a range has %v", name, h)
		}
	}
}

func TestCopy(t *testing.T) {
	f := newFixture(t, false)
	b := f.bucket("files")
	other := f.bucket("other")
	ctx := context.Background()
	_, err := b.Put(ctx, "a b/ü", strings.NewReader("content"), r2.PutOptions{HTTP: r2.HTTPMetadata{ContentType: "text/plain", CacheControl: "no-store"}, Custom: map[string]string{"one": "1", "two": "2"}})
	f.ok(err)
	const from = "X-Amz-Copy-Source: /files/a%20b/%C3%BC"
	for _, c := range []struct {
		header []string
		want   string
	}{
		{nil, "{text/plain    no-store <nil>} map[one:1 two:2] Standard"},
		{[]string{"X-Amz-Metadata-Directive: COPY", "X-Amz-Meta-Two: b"}, "{text/plain    no-store <nil>} map[one:1 two:2] Standard"},
		{[]string{"X-Amz-Metadata-Directive: REPLACE", "Content-Type: a/b", "X-Amz-Meta-Two: b"}, "{a/b     <nil>} map[two:b] Standard"},
		{[]string{"X-Amz-Metadata-Directive: MERGE", "Content-Type: a/b", "X-Amz-Meta-Two: b"}, "{a/b    no-store <nil>} map[one:1 two:b] Standard"},
		{[]string{"X-Amz-Storage-Class: STANDARD_IA", "X-Amz-Copy-Source-If-Match: *"}, "{text/plain    no-store <nil>} map[one:1 two:2] InfrequentAccess"},
	} {
		f.do("PUT", "/other/copy", "", append(c.header, from)...).want(t, 200, "<CopyObjectResult", "<ETag>&quot;9a0364b9e99bb480dd25e1f0284c8555&quot;</ETag>")
		o, err := other.Head(ctx, "copy")
		f.ok(err)
		if got := fmt.Sprint(o.HTTP, o.Custom, " ", o.StorageClass); got != c.want {
			t.Errorf("%q: %s, want %s", c.header, got, c.want)
		}
	}
	f.do("PUT", "/other/copy", "", from, "Cf-Copy-Destination-If-None-Match: *").want(t, 412)
	f.do("PUT", "/files/a%20b/%C3%BC", "", from, "X-Amz-Metadata-Directive: REPLACE").want(t, 200)
	if o, _ := b.Head(ctx, "a b/ü"); o == nil || len(o.Custom) != 0 || o.Size != 7 {
		t.Errorf("copied to itself: %+v", o)
	}
}

// zeros is content that takes no memory.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// What an object of 32 MiB takes beyond one of 2 MiB, to be put, copied and read, is
// next to nothing.
func TestMemoryIsFlat(t *testing.T) {
	f := newFixture(t, false)
	f.bucket("files")
	takes := func(size int64) int64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r, err := http.NewRequest("PUT", "http://"+f.addr+"/files/k", io.LimitReader(zeros{}, size))
		f.ok(err)
		r.ContentLength = size
		resp, err := http.DefaultTransport.RoundTrip(r)
		f.ok(err)
		resp.Body.Close()
		f.do("PUT", "/files/copy", "", "X-Amz-Copy-Source: files/k").want(t, 200)
		resp, err = http.Get("http://" + f.addr + "/files/copy")
		f.ok(err)
		n, err := io.Copy(io.Discard, resp.Body)
		f.ok(err)
		resp.Body.Close()
		if n != size {
			t.Errorf("read %d bytes of %d", n, size)
		}
		runtime.ReadMemStats(&after)
		return int64(after.TotalAlloc - before.TotalAlloc)
	}
	takes(2 << 20) // what is made once
	small := takes(2 << 20)
	if large := takes(32 << 20); large > small+1<<20 {
		t.Errorf("32 MiB allocate %d KiB, 2 MiB %d KiB", large>>10, small>>10)
	}
}

func TestCustomerKeys(t *testing.T) {
	f := newFixture(t, false)
	b := f.bucket("files")
	key := []byte(strings.Repeat("k", 32))
	header := func(prefix string, key []byte) []string {
		return []string{prefix + "Algorithm: AES256", prefix + "Key: " + base64.StdEncoding.EncodeToString(key), prefix + "Key-MD5: " + sum64(string(key))}
	}
	mine := header(customerPrefix, key)
	content := strings.Repeat("secret", 20_000)
	a := f.do("PUT", "/files/k", content, mine...)
	a.want(t, 200)
	if a.Header.Get(customerPrefix+"Key-Md5") != sum64(string(key)) {
		t.Errorf("%v", a.Header)
	}
	for _, method := range []string{"GET", "HEAD"} {
		f.do(method, "/files/k", "", mine...).want(t, 200)
		f.do(method, "/files/k", "").want(t, 400)
		f.do(method, "/files/k", "", header(customerPrefix, []byte(strings.Repeat("x", 32)))...).want(t, 403)
	}
	if a := f.do("GET", "/files/k", "", append(mine, "Range: bytes=70000-70005")...); a.body != content[70000:70006] {
		t.Errorf("range: %q", a.body)
	}
	f.do("PUT", "/files/plain", "", append(header(sourcePrefix, key), "X-Amz-Copy-Source: files/k")...).want(t, 200)
	f.do("PUT", "/files/plain", "", "X-Amz-Copy-Source: files/k").want(t, 400)
	if o, err := b.Head(context.Background(), "plain"); err != nil || o.SSECKeyMD5 != "" || o.Size != int64(len(content)) {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestMultipartThroughSDK(t *testing.T) {
	f, ctx := newFixture(t, true), context.Background()
	f.bucket("files")
	c := f.client()
	part := bytes.Repeat([]byte("0123456789abcdef"), r2.MinPartBytes/16)
	whole := append(append(bytes.Clone(part), part...), "the end"...)
	for _, kind := range []minio.ChecksumType{minio.ChecksumCRC32C, minio.ChecksumSHA256, minio.ChecksumCRC64NVME} {
		_, err := c.Client.PutObject(ctx, "files", "k", bytes.NewReader(whole), int64(len(whole)), minio.PutObjectOptions{
			PartSize: r2.MinPartBytes, Checksum: kind, UserMetadata: map[string]string{"a": "b"}})
		f.ok(err)
		stat, err := c.StatObject(ctx, "files", "k", minio.StatObjectOptions{Checksum: true})
		f.ok(err)
		if !strings.HasSuffix(stat.ETag, "-3") || stat.Size != int64(len(whole)) || stat.UserMetadata["A"] != "b" {
			t.Errorf("%v: %+v", kind, stat)
		}
		sums := stat.ChecksumCRC32C + stat.ChecksumSHA256
		if kind == minio.ChecksumCRC64NVME {
			want, err := f.bucket("want").Put(ctx, "k", bytes.NewReader(whole), r2.PutOptions{Checksums: r2.Checksums{CRC64NVME: []byte{}}})
			f.ok(err)
			if sums = stat.ChecksumCRC64NVME; sums != base64.StdEncoding.EncodeToString(want.Checksums.CRC64NVME) {
				t.Errorf("CRC64NVME %s", sums)
			}
		} else if !strings.HasSuffix(sums, "-3") {
			t.Errorf("%v: checksum %q", kind, sums)
		}
		got, _, _, err := c.GetObject(ctx, "files", "k", minio.GetObjectOptions{PartNumber: 3})
		f.ok(err)
		data, err := io.ReadAll(got)
		f.ok(err)
		if string(data) != "the end" {
			t.Errorf("part 3: %q", data)
		}
	}
	id, err := c.NewMultipartUpload(ctx, "files", "parts", minio.PutObjectOptions{})
	f.ok(err)
	var parts []minio.CompletePart
	for n := range 2 {
		p, err := c.CopyObjectPart(ctx, "files", "k", "files", "parts", id, n+1, int64(n)*r2.MinPartBytes, int64([]int{r2.MinPartBytes, 5}[n]), nil)
		f.ok(err)
		parts = append(parts, p)
	}
	list, err := c.ListObjectParts(ctx, "files", "parts", id, 0, 1)
	f.ok(err)
	if !list.IsTruncated || len(list.ObjectParts) != 1 || list.NextPartNumberMarker != 1 || list.ObjectParts[0].Size != r2.MinPartBytes {
		t.Errorf("%+v", list)
	}
	uploads, err := c.ListMultipartUploads(ctx, "files", "p", "", "", "/", 10)
	f.ok(err)
	if len(uploads.Uploads) != 1 || uploads.Uploads[0].UploadID != id {
		t.Errorf("%+v", uploads)
	}
	_, err = c.CompleteMultipartUpload(ctx, "files", "parts", id, parts, minio.PutObjectOptions{})
	f.ok(err)
	if stat, err := c.StatObject(ctx, "files", "parts", minio.StatObjectOptions{}); err != nil || stat.Size != r2.MinPartBytes+5 {
		t.Errorf("%+v %v", stat, err)
	}
	f.ok(c.AbortMultipartUpload(ctx, "files", "x", must(c.NewMultipartUpload(ctx, "files", "x", minio.PutObjectOptions{}))))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// SSE-C through the SDK: it wants the header's names as they are.
func TestCustomerKeyInParts(t *testing.T) {
	f := newFixture(t, false)
	f.bucket("files")
	key, err := encrypt.NewSSEC([]byte(strings.Repeat("k", 32)))
	f.ok(err)
	h := http.Header{}
	key.Marshal(h)
	var header []string
	for name := range h {
		header = append(header, name+": "+h.Get(name))
	}
	a := f.do("POST", "/files/k?uploads", "", header...)
	a.want(t, 200)
	_, id, _ := strings.Cut(a.body, "<UploadId>")
	id, _, _ = strings.Cut(id, "<")
	f.do("PUT", "/files/k?partNumber=1&uploadId="+id, "x").want(t, 400)
	other, err := encrypt.NewSSEC([]byte(strings.Repeat("o", 32)))
	f.ok(err)
	otherHeader := http.Header{}
	other.Marshal(otherHeader)
	var wrong []string
	for name := range otherHeader {
		wrong = append(wrong, name+": "+otherHeader.Get(name))
	}
	f.do("PUT", "/files/k?partNumber=1&uploadId="+id, "x", wrong...).want(t, 400)
	p := f.do("PUT", "/files/k?partNumber=1&uploadId="+id, "x", header...)
	p.want(t, 200)
	f.do("POST", "/files/k?uploadId="+id, "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>"+p.Header.Get("ETag")+"</ETag></Part></CompleteMultipartUpload>").want(t, 200)
	f.do("GET", "/files/k", "").want(t, 400)
	f.do("GET", "/files/k", "", header...).want(t, 200, "x")
}

// A client that did not get the answer to the end of its upload asks again.
func TestCompleteAgain(t *testing.T) {
	f := newFixture(t, false)
	f.bucket("files")
	a := f.do("POST", "/files/k?uploads", "")
	a.want(t, 200)
	_, id, _ := strings.Cut(a.body, "<UploadId>")
	id, _, _ = strings.Cut(id, "<")
	tag := f.do("PUT", "/files/k?partNumber=1&uploadId="+id, "x").Header.Get("ETag")
	complete := func(tag string) answer {
		return f.do("POST", "/files/k?uploadId="+id, "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>"+tag+"</ETag></Part></CompleteMultipartUpload>")
	}
	first := complete(tag)
	first.want(t, 200)
	if again := complete(tag); again.StatusCode != 200 || again.body != first.body {
		t.Errorf("again: %d %s, first %s", again.StatusCode, again.body, first.body)
	}
	complete("0123456789abcdef0123456789abcdef").want(t, 404) // other parts
	complete("x").want(t, 404)
	f.do("PUT", "/files/k", "other").want(t, 200)
	complete(tag).want(t, 404) // the object is another one
	f.do("GET", "/files/k", "").want(t, 200, "other")
}
