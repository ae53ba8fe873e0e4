package sigv4

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// What can be read of credentials stands in them, and nothing that is made up is
// verified.
func FuzzClaim(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 "+credential+",SignedHeaders=host;x-amz-date,Signature="+emptyDigest, "20130524T000000Z", "a=b")
	f.Add("AWS4-HMAC-SHA256 Credential=a/b/20130524/auto/s3/aws4_request, SignedHeaders=host, Signature="+emptyDigest, "20130524T000000Z", "")
	f.Add("", "", strings.Fields(presigned)[1])
	f.Add("AWS a:b", "", "AWSAccessKeyId=a&Signature=b")
	f.Fuzz(func(t *testing.T, authorization, date, query string) {
		header := http.Header{"X-Amz-Date": {date}}
		if authorization != "" {
			header.Set("Authorization", authorization)
		}
		_, query, _ = strings.Cut("?"+query, "?")
		c, err := readClaim(header, parameters(query))
		if err != nil {
			if code(err) == err.Error() {
				t.Errorf("%v is not in S3's words", err)
			}
			return
		}
		if c.keyID == "" || len(c.signature) != 32 || c.service != "s3" || c.at.Format("20060102") != c.date || c.expiry < 0 || c.expiry > MaxExpiry {
			t.Errorf("read %+v", c)
		}
		if text := authorization; !c.presigned && (!strings.Contains(text, c.keyID+"/"+c.scope()) || !strings.Contains(text, strings.Join(c.signed, ";"))) {
			t.Errorf("%+v does not stand in %q", c, text)
		}
		v := verifier(0)
		v.Now = func() time.Time { return c.at }
		r := &http.Request{Method: "GET", Host: "a", RequestURI: "/?" + query, Header: header, Body: http.NoBody}
		r.Header.Set("X-Amz-Content-Sha256", unsigned)
		if id, err := v.Verify(r); err == nil {
			t.Errorf("%+v has signed %q %q", id, authorization, query)
		}
	})
}

// Chunks that a client made are read, at any size; with one byte changed, or cut
// off, they give the same or an error, and never more than the truth.
func FuzzChunks(f *testing.F) {
	f.Add([]byte("hello world"), uint16(5), uint32(3), byte(1), uint32(1000))
	f.Add([]byte(""), uint16(1), uint32(0), byte(0), uint32(10))
	f.Add(bytes.Repeat([]byte("\r\n0;"), 50), uint16(63), uint32(90), byte(32), uint32(1<<30))
	f.Fuzz(func(t *testing.T, data []byte, size uint16, at uint32, flip byte, cut uint32) {
		if len(data) > 4<<10 || len(data) > 64*(int(size)+1) {
			return
		}
		s := signer{key: []byte("key"), at: "20130524T000000Z", scope: "scope"}
		seed := make([]byte, 32)
		wire := signedChunks(data, int(size)+1, s, seed)
		read := func(wire []byte) ([]byte, error) {
			r := &http.Request{Body: io.NopCloser(iotest.HalfReader(bytes.NewReader(wire))), Header: http.Header{"X-Amz-Decoded-Content-Length": {fmt.Sprint(len(data))}}}
			if err := unchunk(r, streaming, s, seed); err != nil {
				t.Fatal(err)
			}
			return io.ReadAll(r.Body)
		}
		if got, err := read(wire); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("read %q, %v, want %q", got, err, data)
		}
		damaged := bytes.Clone(wire)
		damaged[int(at)%len(wire)] ^= flip
		damaged = damaged[:min(int(cut), len(wire))]
		if got, err := read(damaged); err == nil && !bytes.Equal(got, data) {
			t.Fatalf("read %q of damaged chunks, want %q", got, data)
		} else if err != nil && code(err) == err.Error() {
			t.Errorf("%v is not in S3's words", err)
		}
	})
}

// Chunks without signatures: whatever is sent, what is read has the length that was
// announced, and stands in what was sent.
func FuzzUnsignedChunks(f *testing.F) {
	f.Add([]byte("5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"), uint16(5))
	f.Add([]byte("0\r\nx-amz-checksum-crc32:AAAAAA==\n\r\n\r\n"), uint16(0))
	f.Fuzz(func(t *testing.T, wire []byte, length uint16) {
		r := &http.Request{Body: io.NopCloser(bytes.NewReader(wire)), Header: http.Header{
			"X-Amz-Decoded-Content-Length": {fmt.Sprint(length)}, "X-Amz-Trailer": {"x-amz-checksum-crc32"}}}
		if err := unchunk(r, unsignedTrailer, signer{}, nil); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r.Body)
		if err != nil {
			if code(err) == err.Error() {
				t.Errorf("%v is not in S3's words", err)
			}
			return
		}
		sum := checksums["Crc32"]()
		sum.Write(got)
		if len(got) != int(length) || len(got) > len(wire) || r.Trailer.Get("X-Amz-Checksum-Crc32") == "" {
			t.Errorf("%d bytes of %d, trailer %v", len(got), length, r.Trailer)
		}
		if check := (check{"X-Amz-Checksum-Crc32", sum}); check.verify(r.Trailer) != nil {
			t.Errorf("the checksum of %q is %s, not %s", got, hex.EncodeToString(sum.Sum(nil)), r.Trailer)
		}
	})
}
