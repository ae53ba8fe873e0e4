package sigv4

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// The access key of the examples in Amazon's S3 API Reference, and their time.
const (
	exampleKey    = "AKIAIOSFODNN7EXAMPLE"
	exampleSecret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
)

var exampleTime = time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC)

// verifier knows the one key of the examples. Its clock is late after their time.
func verifier(late time.Duration) *Verifier {
	return &Verifier{
		Secret: func(_ context.Context, id string) (string, error) {
			switch id {
			case exampleKey:
				return exampleSecret, nil
			case "BROKEN":
				return "", errors.New("disk on fire")
			}
			return "", ErrNoKey
		},
		Regions: []string{"auto", "us-east-1"},
		Now:     func() time.Time { return exampleTime.Add(late) },
	}
}

// request reads a request as a server does. Lines end with LF.
func request(t testing.TB, head, body string) *http.Request {
	t.Helper()
	if body != "" && !strings.Contains(head, "Content-Length:") {
		head += fmt.Sprintf("Content-Length: %d\n", len(body))
	}
	wire := strings.ReplaceAll(head, "\n", "\r\n") + "\r\n" + body
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(wire)))
	if err != nil {
		t.Fatalf("%v in\n%s", err, wire)
	}
	return r
}

// code is S3's code of an error, or "" without one.
func code(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

const (
	emptyDigest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	credential  = "Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request"
)

const getObject = `GET /test.txt HTTP/1.1
Host: examplebucket.s3.amazonaws.com
Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41
Range: bytes=0-9
x-amz-content-sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
x-amz-date: 20130524T000000Z
`

const putObject = `PUT /test$file.text HTTP/1.1
Host: examplebucket.s3.amazonaws.com
Date: Fri, 24 May 2013 00:00:00 GMT
Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class,Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd
x-amz-date: 20130524T000000Z
x-amz-storage-class: REDUCED_REDUNDANCY
x-amz-content-sha256: 44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072
`

const getLifecycle = `GET /?lifecycle HTTP/1.1
Host: examplebucket.s3.amazonaws.com
Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=host;x-amz-content-sha256;x-amz-date,Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543
x-amz-date: 20130524T000000Z
x-amz-content-sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
`

const listObjects = `GET /?max-keys=2&prefix=J HTTP/1.1
Host: examplebucket.s3.amazonaws.com
Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=host;x-amz-content-sha256;x-amz-date,Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7
x-amz-date: 20130524T000000Z
x-amz-content-sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
`

const presigned = `GET /test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404 HTTP/1.1
Host: examplebucket.s3.amazonaws.com
`

const putChunks = `PUT /examplebucket/chunkObject.txt HTTP/1.1
Host: s3.amazonaws.com
x-amz-date: 20130524T000000Z
x-amz-storage-class: REDUCED_REDUNDANCY
Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class,Signature=4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9
x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD
Content-Encoding: aws-chunked
x-amz-decoded-content-length: 66560
Content-Length: 66824
`

const putTrailer = `PUT /examplebucket/chunkObject.txt HTTP/1.1
Host: s3.amazonaws.com
x-amz-date: 20130524T000000Z
x-amz-storage-class: REDUCED_REDUNDANCY
Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer,Signature=106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e
x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER
Content-Encoding: aws-chunked
x-amz-decoded-content-length: 66560
x-amz-trailer: x-amz-checksum-crc32c
`

var (
	chunkBody = "10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n" + strings.Repeat("a", 65536) + "\r\n" +
		"400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n" + strings.Repeat("a", 1024) + "\r\n" +
		"0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n"
	// The signature of the trailer is that of AWS's SDKs; the API Reference has one
	// that none of them makes.
	trailerBody = "10000;chunk-signature=b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2\r\n" + strings.Repeat("a", 65536) + "\r\n" +
		"400;chunk-signature=1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7\r\n" + strings.Repeat("a", 1024) + "\r\n" +
		"0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\n" +
		"x-amz-checksum-crc32c:sOO8/Q==\r\n" +
		"x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n"
)

// The examples of the API Reference, and what makes of each of them a refusal.
func TestVerify(t *testing.T) {
	change := func(s string, pairs ...string) string {
		for i := 0; i < len(pairs); i += 2 {
			if !strings.Contains(s, pairs[i]) {
				t.Fatalf("%q is not in the example", pairs[i])
			}
		}
		return strings.NewReplacer(pairs...).Replace(s)
	}
	for _, c := range []struct {
		name, head, body string
		late             time.Duration
		code             string // of Verify or of reading the body; empty: it is good
	}{
		{name: "GET", head: getObject},
		{name: "PUT", head: putObject, body: "Welcome to Amazon S3."},
		{name: "parameter without value", head: getLifecycle},
		{name: "parameters", head: listObjects},
		{name: "presigned", head: presigned},
		{name: "chunks", head: putChunks, body: chunkBody},
		{name: "chunks and a trailer", head: putTrailer, body: trailerBody},
		{name: "a trailer whose line ends with LF CR LF", head: putTrailer, body: change(trailerBody, "sOO8/Q==\r\n", "sOO8/Q==\n\r\n")},
		{name: "parameters in another order", head: change(listObjects, "max-keys=2&prefix=J", "prefix=J&max-keys=2")},
		{name: "another spelling of the path", head: change(getObject, "/test.txt", "/%74est.txt")},
		{name: "absolute form", head: change(getObject, "GET /", "GET http://examplebucket.s3.amazonaws.com/")},
		{name: "clock almost too late", head: getObject, late: 15 * time.Minute},
		{name: "presigned, almost expired", head: presigned, late: 24*time.Hour - time.Second},
		{name: "signature in upper case", head: change(getObject, "f0e8bdb8", "F0E8BDB8")},

		{name: "another path", head: change(getObject, "/test.txt", "/Test.txt"), code: "SignatureDoesNotMatch"},
		{name: "another method", head: change(getObject, "GET ", "PUT "), code: "SignatureDoesNotMatch"},
		{name: "another header", head: change(getObject, "bytes=0-9", "bytes=0-10"), code: "SignatureDoesNotMatch"},
		{name: "another host", head: change(getObject, "examplebucket.", "otherbucket."), code: "SignatureDoesNotMatch"},
		{name: "another parameter", head: change(listObjects, "prefix=J", "prefix=K"), code: "SignatureDoesNotMatch"},
		{name: "one more parameter", head: change(presigned, "&X-Amz-Date", "&versionId=1&X-Amz-Date"), code: "SignatureDoesNotMatch"},
		{name: "longer expiry", head: change(presigned, "Expires=86400", "Expires=86401"), code: "SignatureDoesNotMatch"},
		{name: "another signature", head: change(getObject, "Signature=f0", "Signature=f1"), code: "SignatureDoesNotMatch"},
		{name: "a signed header is missing", head: change(getObject, "Range: bytes=0-9\n", ""), code: "SignatureDoesNotMatch"},
		{name: "a header that must be signed", head: getObject + "x-amz-copy-source: /other/key\n", code: "AccessDenied"},
		{name: "a header that must be signed, presigned", head: presigned + "x-amz-meta-a: b\n", code: "AccessDenied"},
		{name: "host is not signed", head: change(presigned, "SignedHeaders=host", "SignedHeaders=range"), code: "AuthorizationQueryParametersError"},

		{name: "no signature", head: change(getObject, "Authorization", "Other"), code: "AccessDenied"},
		{name: "version 2", head: "GET / HTTP/1.1\nHost: a\nAuthorization: AWS AKIAIOSFODNN7EXAMPLE:frJIUN8DYpKDtOLCwo//yllqDzg=\n", code: "InvalidRequest"},
		{name: "version 2, presigned", head: "GET /?AWSAccessKeyId=a&Expires=1&Signature=b HTTP/1.1\nHost: a\n", code: "InvalidRequest"},
		{name: "version 4A", head: change(getObject, "AWS4-HMAC-SHA256 ", "AWS4-ECDSA-P256-SHA256 "), code: "InvalidRequest"},
		{name: "empty header", head: "GET / HTTP/1.1\nHost: a\nAuthorization:\n", code: "InvalidRequest"},
		{name: "header and query", head: presigned + "Authorization: AWS4-HMAC-SHA256 " + credential + "\n", code: "InvalidArgument"},
		{name: "two headers", head: getObject + "Authorization: AWS4-HMAC-SHA256 " + credential + "\n", code: "InvalidArgument"},
		{name: "no fields", head: "GET / HTTP/1.1\nHost: a\nAuthorization: AWS4-HMAC-SHA256\n", code: "AuthorizationHeaderMalformed"},
		{name: "a field is missing", head: change(getObject, credential+",", ""), code: "AuthorizationHeaderMalformed"},
		{name: "a field twice", head: change(getObject, credential+",", credential+","+credential+","), code: "AuthorizationHeaderMalformed"},
		{name: "short scope", head: change(getObject, "/s3/aws4_request", ""), code: "AuthorizationHeaderMalformed"},
		{name: "no key", head: change(getObject, exampleKey, ""), code: "AuthorizationHeaderMalformed"},
		{name: "another service", head: change(getObject, "/s3/", "/ec2/"), code: "AuthorizationHeaderMalformed"},
		{name: "another terminator", head: change(getObject, "aws4_request", "aws5_request"), code: "AuthorizationHeaderMalformed"},
		{name: "another day", head: change(getObject, "/20130524/", "/20130525/"), code: "AuthorizationHeaderMalformed"},
		{name: "short signature", head: change(getObject, "Signature=f0", "Signature="), code: "AuthorizationHeaderMalformed"},
		{name: "headers not sorted", head: change(getObject, "host;range", "range;host"), code: "AuthorizationHeaderMalformed"},
		{name: "a header twice", head: change(getObject, "host;range", "host;host"), code: "AuthorizationHeaderMalformed"},
		{name: "another region", head: change(getObject, "us-east-1", "mars-1"), code: "InvalidRegionName"},
		{name: "unknown key", head: change(getObject, exampleKey, "NOBODY"), code: "InvalidAccessKeyId"},
		{name: "keys cannot be read", head: change(getObject, exampleKey, "BROKEN"), code: "look up access key BROKEN: disk on fire"},
		{name: "session token", head: getObject + "x-amz-security-token: abc\n", code: "InvalidToken"},
		{name: "session token, presigned", head: change(presigned, "&X-Amz-Date", "&X-Amz-Security-Token=abc&X-Amz-Date"), code: "InvalidToken"},
		{name: "no time", head: change(getObject, "x-amz-date: 20130524T000000Z\n", ""), code: "AccessDenied"},
		{name: "wrong time", head: change(getObject, "x-amz-date: 20130524T000000Z", "x-amz-date: yesterday"), code: "AccessDenied"},
		{name: "our clock is ahead", head: getObject, late: 15*time.Minute + time.Second, code: "RequestTimeTooSkewed"},
		{name: "our clock is behind", head: getObject, late: -15*time.Minute - time.Second, code: "RequestTimeTooSkewed"},
		{name: "presigned, expired", head: presigned, late: 24 * time.Hour, code: "AccessDenied"},
		{name: "presigned, not yet", head: presigned, late: -16 * time.Minute, code: "AccessDenied"},
		{name: "presigned, a week and a second", head: change(presigned, "Expires=86400", "Expires=604801"), code: "AuthorizationQueryParametersError"},
		{name: "presigned, negative", head: change(presigned, "Expires=86400", "Expires=-1"), code: "AuthorizationQueryParametersError"},
		{name: "presigned, no number", head: change(presigned, "Expires=86400", "Expires=soon"), code: "AuthorizationQueryParametersError"},
		{name: "presigned, no expiry", head: change(presigned, "&X-Amz-Expires=86400", ""), code: "AuthorizationQueryParametersError"},
		{name: "presigned, twice", head: change(presigned, "&X-Amz-Expires=86400", "&X-Amz-Expires=86400&X-Amz-Expires=86400"), code: "AuthorizationQueryParametersError"},
		{name: "presigned, wrong time", head: change(presigned, "X-Amz-Date=2013", "X-Amz-Date=20"), code: "AuthorizationQueryParametersError"},
		{name: "presigned, another algorithm", head: change(presigned, "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA512"), code: "AuthorizationQueryParametersError"},

		{name: "no digest", head: change(getObject, "x-amz-content-sha256: "+emptyDigest+"\n", ""), code: "MissingSecurityHeader"},
		{name: "wrong digest", head: change(getObject, "x-amz-content-sha256: e3", "x-amz-content-sha256: "), code: "InvalidArgument"},
		{name: "another body", head: putObject, body: "Welcome to Amazon S4.", code: "XAmzContentSHA256Mismatch"},
		{name: "no body", head: putObject + "Content-Length: 0\n", code: "XAmzContentSHA256Mismatch"},
		{name: "truncated body", head: putObject + "Content-Length: 21\n", body: "Welcome to Amazon S3", code: "IncompleteBody"},
		{name: "another byte in a chunk", head: putChunks, body: change(chunkBody, "648\r\na", "648\r\nb"), code: "SignatureDoesNotMatch"},
		{name: "another chunk signature", head: putChunks, body: change(chunkBody, "0055", "0056"), code: "SignatureDoesNotMatch"},
		{name: "another last signature", head: putChunks, body: change(chunkBody, "b6c6", "b6c7"), code: "SignatureDoesNotMatch"},
		{name: "another trailer signature", head: putTrailer, body: change(trailerBody, "d81f", "d81e"), code: "SignatureDoesNotMatch"},
		{name: "another checksum", head: putTrailer, body: change(trailerBody, "sOO8", "sOO9"), code: "SignatureDoesNotMatch"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := request(t, c.head, c.body)
			id, err := verifier(c.late).Verify(r)
			var got []byte
			if err == nil {
				if want := (Identity{exampleKey, strings.Contains(c.head, "X-Amz-Signature")}); id != want {
					t.Errorf("identity %+v, want %+v", id, want)
				}
				got, err = io.ReadAll(iotest.OneByteReader(r.Body))
				if _, again := r.Body.Read(make([]byte, 1)); code(again) != code(err) && again != io.EOF {
					t.Errorf("reading again: %v, first %v", again, err)
				}
			}
			if code(err) != c.code {
				t.Fatalf("error %v, want %q", err, c.code)
			}
			if err == nil && strings.Contains(c.head, "aws-chunked") {
				if len(got) != 66560 || r.ContentLength != 66560 || r.Header.Get("Content-Encoding") != "" {
					t.Errorf("%d bytes, length %d, encoding %q", len(got), r.ContentLength, r.Header.Get("Content-Encoding"))
				}
				if want := strings.Contains(c.head, "TRAILER"); want && r.Trailer.Get("X-Amz-Checksum-Crc32c") != "sOO8/Q==" {
					t.Errorf("trailer %v", r.Trailer)
				}
			}
		})
	}
}

func TestErrorsTellNothingOfTheSecret(t *testing.T) {
	r := request(t, strings.Replace(getObject, "Signature=f0", "Signature=f1", 1), "")
	_, err := verifier(0).Verify(r)
	good := "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
	if err == nil || strings.Contains(err.Error(), exampleSecret) || strings.Contains(err.Error(), good) {
		t.Errorf("error %v", err)
	}
}

// Chunks without signatures, and everything that can be wrong with chunks.
func TestChunks(t *testing.T) {
	const content = "hello world"
	for _, c := range []struct {
		name, body, trailer string
		code                string
	}{
		{name: "one", body: "b\r\nhello world\r\n0\r\n\r\n"},
		{name: "two", body: "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"},
		{name: "size with zeros, in upper case", body: "0000B\r\nhello world\r\n0\r\n\r\n"},
		{name: "CRC32", trailer: "x-amz-checksum-crc32", body: "b\r\nhello world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n"},
		{name: "CRC32C", trailer: "x-amz-checksum-crc32c", body: "b\r\nhello world\r\n0\r\nx-amz-checksum-crc32c:yZRlqg==\r\n\r\n"},
		{name: "CRC64NVME", trailer: "x-amz-checksum-crc64nvme", body: "b\r\nhello world\r\n0\r\nx-amz-checksum-crc64nvme:jSnVw/bqjr4=\r\n\r\n"},
		{name: "SHA-1", trailer: "x-amz-checksum-sha1", body: "b\r\nhello world\r\n0\r\nx-amz-checksum-sha1:Kq5sNclPz7QV2+lfQIuc6R7oRu0=\r\n\r\n"},
		{name: "SHA-256", trailer: "x-amz-checksum-sha256", body: "b\r\nhello world\r\n0\r\nX-Amz-Checksum-SHA256: uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=\r\n\r\n"},
		{name: "two trailers", trailer: "x-amz-checksum-crc32, x-amz-meta-a", body: "b\r\nhello world\r\n0\r\nx-amz-meta-a:b\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n"},

		{name: "wrong checksum", trailer: "x-amz-checksum-crc32", body: "b\r\nhello world\r\n0\r\nx-amz-checksum-crc32:DUoRhA==\r\n\r\n", code: "BadDigest"},
		{name: "no base64", trailer: "x-amz-checksum-crc32", body: "b\r\nhello world\r\n0\r\nx-amz-checksum-crc32:%\r\n\r\n", code: "InvalidRequest"},
		{name: "short checksum", trailer: "x-amz-checksum-crc32", body: "b\r\nhello world\r\n0\r\nx-amz-checksum-crc32:DUoR\r\n\r\n", code: "InvalidRequest"},
		{name: "unknown checksum", trailer: "x-amz-checksum-md4", body: "", code: "InvalidRequest"},
		{name: "not announced", body: "b\r\nhello world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n", code: "IncompleteBody"},
		{name: "another trailer", trailer: "x-amz-checksum-crc32", body: "b\r\nhello world\r\n0\r\nx-amz-meta-a:b\r\n\r\n", code: "MalformedTrailerError"},
		{name: "a trailer twice", trailer: "x-amz-meta-a,x-amz-meta-b", body: "b\r\nhello world\r\n0\r\nx-amz-meta-a:b\r\nx-amz-meta-a:b\r\n\r\n", code: "MalformedTrailerError"},
		{name: "a line without colon", trailer: "x-amz-meta-a", body: "b\r\nhello world\r\n0\r\nx-amz-meta-a\r\n\r\n", code: "MalformedTrailerError"},
		{name: "trailer is missing", trailer: "x-amz-checksum-crc32", body: "b\r\nhello world\r\n0\r\n\r\n", code: "IncompleteBody"},
		{name: "endless trailer", trailer: "x-amz-meta-a", body: "b\r\nhello world\r\n0\r\n" + strings.Repeat("\r\n", MaxTrailerBytes), code: "MalformedTrailerError"},
		{name: "empty", body: "", code: "IncompleteBody"},
		{name: "size is missing", body: "\r\nhello world\r\n0\r\n\r\n", code: "IncompleteBody"},
		{name: "size is no number", body: "x\r\nhello world\r\n0\r\n\r\n", code: "IncompleteBody"},
		{name: "size is negative", body: "-1\r\nhello world\r\n0\r\n\r\n", code: "IncompleteBody"},
		{name: "size has a sign", body: "+b\r\nhello world\r\n0\r\n\r\n", code: "IncompleteBody"},
		{name: "size is huge", body: "ffffffffffffffffff\r\nhello world\r\n0\r\n\r\n", code: "IncompleteBody"},
		{name: "chunk too long", body: "c\r\nhello world!\r\n0\r\n\r\n", code: "IncompleteBody"},
		{name: "chunks too long together", body: "b\r\nhello world\r\n1\r\n!\r\n0\r\n\r\n", code: "IncompleteBody"},
		{name: "chunks too short", body: "5\r\nhello\r\n0\r\n\r\n", code: "IncompleteBody"},
		{name: "more than its size", body: "5\r\nhello world\r\n0\r\n\r\n", code: "IncompleteBody"},
		{name: "cut off in a size", body: "b", code: "IncompleteBody"},
		{name: "cut off in a chunk", body: "b\r\nhello", code: "IncompleteBody"},
		{name: "cut off after a chunk", body: "b\r\nhello world\r", code: "IncompleteBody"},
		{name: "no last chunk", body: "b\r\nhello world\r\n", code: "IncompleteBody"},
		{name: "data after it", body: "b\r\nhello world\r\n0\r\n\r\nmore", code: "IncompleteBody"},
		{name: "many lines after it", body: "b\r\nhello world\r\n0\r\n\r\n\r\n\r\n", code: "IncompleteBody"},
		{name: "a long line", body: "b;" + strings.Repeat("x", MaxLineBytes) + "\r\nhello world\r\n0\r\n\r\n", code: "IncompleteBody"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &http.Request{Body: io.NopCloser(strings.NewReader(c.body)), Header: http.Header{
				"X-Amz-Decoded-Content-Length": {"11"}, "X-Amz-Trailer": {c.trailer}, "Content-Encoding": {"gzip,aws-chunked"}}}
			err := unchunk(r, unsignedTrailer, signer{}, nil)
			var got []byte
			if err == nil {
				got, err = io.ReadAll(r.Body)
			}
			if code(err) != c.code {
				t.Fatalf("error %v, want %q", err, c.code)
			}
			if err == nil && (string(got) != content || r.Header.Get("Content-Encoding") != "gzip") {
				t.Errorf("content %q, encoding %q", got, r.Header.Get("Content-Encoding"))
			}
		})
	}
	for _, length := range []string{"", "-1", "x", "99999999999999999999"} {
		r := &http.Request{Body: http.NoBody, Header: http.Header{"X-Amz-Decoded-Content-Length": {length}}}
		if err := unchunk(r, streaming, signer{}, nil); code(err) != "MissingContentLength" {
			t.Errorf("decoded length %q: %v", length, err)
		}
	}
}

// signedChunks is data as a client sends it in chunks of size bytes.
func signedChunks(data []byte, size int, s signer, seed []byte) []byte {
	last := hex.EncodeToString(seed)
	var b bytes.Buffer
	for {
		n := min(size, len(data))
		last = hex.EncodeToString(s.sign("AWS4-HMAC-SHA256-PAYLOAD", last, hexDigest(nil), hexDigest(data[:n])))
		fmt.Fprintf(&b, "%x;chunk-signature=%s\r\n%s\r\n", n, last, data[:n])
		if data = data[n:]; n == 0 {
			return b.Bytes()
		}
	}
}
