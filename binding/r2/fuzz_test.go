package r2

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
)

// FuzzHandler sends requests as a hostile cell might. Whatever comes, the handler
// answers, and what is stored can be read.
func FuzzHandler(f *testing.F) {
	for _, json := range []string{
		`{"version":1,"method":"head","object":"k"}`,
		`{"method":"get","object":"k","range":{"offset":"1","length":"2"},"onlyIf":{"etagMatches":[{"value":"e","type":"strong"}],"uploadedBefore":"5"}}`,
		`{"method":"get","object":"k","rangeHeader":"bytes=-1","ssec":{"key":"00"}}`,
		`{"method":"list","limit":3,"prefix":"a","delimiter":"/","cursor":"AWthYg","include":[0,1],"startAfter":"a"}`,
		`{"method":"put","object":"k","customFields":[{"k":"a","v":"b"}],"httpFields":{"contentType":"t","cacheExpiry":"5"},"sha1":"00","storageClass":"Standard"}`,
		`{"method":"put","object":"k","ssec":{"key":"0000000000000000000000000000000000000000000000000000000000000000"}}`,
		`{"method":"delete","objects":["k","l"]}`, `{"method":"delete","object":"k"}`,
		`{"method":"createMultipartUpload","object":"k"}`, `{"method":"uploadPart","object":"k","uploadId":"AAAA","partNumber":1}`,
		`{"method":"completeMultipartUpload","object":"k","uploadId":"AAAAAAAAAAAAAAAAAAAAAA","parts":[{"etag":"e","part":1}]}`,
		`{"method":"abortMultipartUpload","object":"k","uploadId":"x"}`, `{}`, `[`,
	} {
		f.Add(true, []byte(json), []byte("content"))
		f.Add(false, []byte(json), []byte("content"))
	}
	fix := newFixture(f)
	b := fix.bucket("b")
	h := b.Handler("")
	f.Fuzz(func(t *testing.T, read bool, json, content []byte) {
		r := httptest.NewRequest("PUT", "/", io.MultiReader(bytes.NewReader(json), bytes.NewReader(content)))
		r.Header.Set(sizeHeader, strconv.Itoa(len(json)))
		if read {
			r = httptest.NewRequest("GET", "/", nil)
			r.Header = http.Header{requestHeader: {string(json)}}
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code == http.StatusInternalServerError && w.Header().Get(errorHeader) == errorText(errInternal) {
			t.Errorf("%s: %d", json, w.Code)
		}
		page, err := b.List(ctx, ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page.Objects {
			if err := CheckKey(o.Key); err != nil {
				t.Errorf("stored key %q: %v", o.Key, err)
			}
			if err := fix.verify(ctx, o); err != nil {
				t.Errorf("stored object %q: %v", o.Key, err)
			}
			if err := b.Delete(ctx, o.Key); err != nil {
				t.Error(err)
			}
		}
	})
}

// FuzzRange: a header is a satisfiable range, or everything.
func FuzzRange(f *testing.F) {
	f.Add("bytes=1-2", int64(5))
	f.Add("bytes=-2", int64(5))
	f.Add("bytes=2-", int64(5))
	f.Add("bytes=-", int64(0))
	f.Fuzz(func(t *testing.T, header string, size int64) {
		if size < 0 {
			return
		}
		r := ParseRange(header, size)
		offset, length, err := r.within(size)
		if err != nil || offset < 0 || length < 0 || offset+length > size || r != nil && length == 0 {
			t.Errorf("%q of %d: %d bytes from %d, %v", header, size, length, offset, err)
		}
	})
}

// FuzzRows: damaged rows give an error, never a panic, and sound ones survive.
func FuzzRows(f *testing.F) {
	f.Add(appendPart(nil, part{form: partInline, size: 3, inline: []byte("abc")}))
	f.Add(appendPart(nil, part{form: partBlob, size: 3}))
	f.Add([]byte(`{"v":"AAAAAAAAAAAAAAAAAAAAAA==","n":5,"e":"x","t":5}`))
	f.Add(uploadKey(1, "a\x00b", contentID{1})[10:])
	f.Add([]byte(encodeCursor(afterKey, "k")))
	f.Fuzz(func(t *testing.T, data []byte) {
		if p, err := decodePart(data); err == nil && !bytes.Equal(appendPart(nil, p), data) {
			t.Errorf("part %x became %x", data, appendPart(nil, p))
		}
		if o, err := decodeObject("k", data); err == nil {
			again, err := encodeObject(o)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := decodeObject("k", again); err != nil {
				t.Errorf("object %s became %s: %v", data, again, err)
			}
		}
		if key, id, err := splitUploadKey(data); err == nil {
			if k2, id2, err := splitUploadKey(uploadKey(1, key, id)[10:]); k2 != key || id2 != id || err != nil {
				t.Errorf("upload of %q became %q, %v", key, k2, err)
			}
		}
		if how, last, err := decodeCursor(string(data)); err == nil {
			if h2, l2, err := decodeCursor(encodeCursor(how, last)); h2 != how || l2 != last || err != nil {
				t.Errorf("cursor %q became %q, %v", last, l2, err)
			}
		}
	})
}
