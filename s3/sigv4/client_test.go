package sigv4

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// odd are keys with everything that a URL can be unsure about.
var odd = []string{
	"plain.txt", "a b", "a+b", "a%2Fb", "a//b", "/a", "a/", "..", "a/../b", "./a", "ä/日本", "🙂", "a?b#c", "a&b=c", "%", "%zz", "a;b,c:d@e$f!g'h(i)*j~k",
	"\x01\x7f", `"quoted" \ <a>`, strings.Repeat("k", 1024),
}

// server verifies what it gets and answers with the body and its length, as S3
// answers, or with the error.
func server(t *testing.T, v *Verifier) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		encoding := r.Header.Get("X-Amz-Content-Sha256")
		_, err := v.Verify(r)
		var body []byte
		if err == nil {
			body, err = io.ReadAll(r.Body)
		}
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", code(err), err)
			return
		}
		w.Header().Set("ETag", fmt.Sprintf(`"%x"`, len(body)))
		w.Header().Set("Last-Modified", exampleTime.Format(http.TimeFormat))
		w.Header().Set("X-Encoding", encoding)
		w.Header().Set("X-Trailer", fmt.Sprint(r.Trailer))
		if r.Method == http.MethodGet {
			io.WriteString(w, "content")
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// minio-go signs in every way that there is, all keys, in path and virtual-host
// style.
func TestSignaturesOfMinIOGo(t *testing.T) {
	v := verifier(0)
	v.Now = nil // the client has no clock to set
	address := strings.TrimPrefix(server(t, v).URL, "http://")
	ctx := context.Background()
	big := bytes.Repeat([]byte("0123456789abcdef"), 6<<10) // more than one chunk of the client's
	for _, c := range []struct {
		name     string
		lookup   minio.BucketLookupType
		trailing bool
		put      minio.PutObjectOptions
		encoding string // X-Amz-Content-Sha256 of the PUT
	}{
		{"chunks", minio.BucketLookupPath, false, minio.PutObjectOptions{DisableContentSha256: false}, streaming},
		{"chunks and a trailer", minio.BucketLookupPath, true, minio.PutObjectOptions{Checksum: minio.ChecksumSHA256}, signedTrailer},
		{"trailer CRC64NVME", minio.BucketLookupPath, true, minio.PutObjectOptions{Checksum: minio.ChecksumCRC64NVME}, signedTrailer},
		{"not signed", minio.BucketLookupPath, false, minio.PutObjectOptions{DisableContentSha256: true}, unsigned},
		{"virtual-host style", minio.BucketLookupDNS, false, minio.PutObjectOptions{}, streaming},
	} {
		t.Run(c.name, func(t *testing.T) {
			var encodings []string
			transport := roundTrip(func(r *http.Request) (*http.Response, error) {
				r.URL.Host = address // also that of bucket.host
				response, err := http.DefaultTransport.RoundTrip(r)
				if err == nil {
					encodings = append(encodings, response.Header.Get("X-Encoding"))
				}
				return response, err
			})
			client, err := minio.New("s3.example:9000", &minio.Options{
				Creds: credentials.NewStaticV4(exampleKey, exampleSecret, ""), Region: "us-east-1", BucketLookup: c.lookup, TrailingHeaders: c.trailing, Transport: transport})
			if err != nil {
				t.Fatal(err)
			}
			core := minio.Core{Client: client}
			for _, key := range odd {
				encodings = nil
				info, err := core.PutObject(ctx, "bucket", key, bytes.NewReader(big), int64(len(big)), "", "", c.put)
				if err != nil {
					t.Errorf("put %q: %v", key, err)
				} else if info.ETag != fmt.Sprintf("%x", len(big)) || encodings[0] != c.encoding {
					t.Errorf("put %q: %s bytes, sent as %v", key, info.ETag, encodings)
				}
				if r, _, _, err := core.GetObject(ctx, "bucket", key, minio.GetObjectOptions{}); err != nil {
					t.Errorf("get %q: %v", key, err)
				} else {
					r.Close()
				}
			}
		})
	}
}

func TestPresignedByMinIOGo(t *testing.T) {
	now := time.Now()
	v := verifier(0)
	v.Now = func() time.Time { return now }
	s := server(t, v)
	client, err := minio.New(strings.TrimPrefix(s.URL, "http://"), &minio.Options{Creds: credentials.NewStaticV4(exampleKey, exampleSecret, ""), Region: "auto"})
	if err != nil {
		t.Fatal(err)
	}
	status := func(method string, u *url.URL) int {
		r, err := http.NewRequest(method, u.String(), strings.NewReader("upload"))
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode
	}
	for _, key := range odd {
		u, err := client.PresignedPutObject(context.Background(), "bucket", key, MaxExpiry)
		if err != nil {
			t.Fatal(err)
		}
		if got := status(http.MethodPut, u); got != http.StatusOK {
			t.Errorf("put %q: %d", key, got)
		}
		if got := status(http.MethodDelete, u); got != http.StatusBadRequest {
			t.Errorf("a URL to put %q deletes: %d", key, got)
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
