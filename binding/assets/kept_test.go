package assets_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/binding/assets"
	"github.com/selvage-edge/selvage/config"
)

// oneFile is a file that does not change.
type oneFile struct{ digest string }

func (f oneFile) Lookup(path string) (config.AssetFile, bool) {
	return config.AssetFile{Path: path, ETag: "tag", Digest: f.digest, Size: 4, ContentType: "text/css"}, path == "/a.css"
}

func (oneFile) Open(config.AssetFile) (io.ReadSeekCloser, error) {
	return struct {
		io.ReadSeeker
		io.Closer
	}{strings.NewReader("body"), io.NopCloser(nil)}, nil
}

// keeps is a stage's writer that has every file, and wrapped one around it.
type keeps struct {
	http.ResponseWriter
	asked string
}

func (k *keeps) Kept(status int, digest string, size int64) bool {
	k.asked = fmt.Sprintf("%d %s of %d bytes, %s", status, digest, size, k.Header().Get("Etag"))
	io.WriteString(k, "kept")
	return true
}

type wrapped struct{ http.ResponseWriter }

func (w wrapped) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// A file that is known by its digest may be answered by who keeps it
// compressed; one that may change is sent as it is.
func TestKeptFiles(t *testing.T) {
	for _, c := range []struct{ method, digest, asked, body string }{
		{"GET", "d1", `200 d1 of 4 bytes, "tag"`, "kept"},
		{"GET", "", "", "body"},
		{"HEAD", "d1", "", ""},
	} {
		h, err := assets.New(&config.Version{Assets: &config.Assets{Files: oneFile{c.digest}}})
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		k := &keeps{ResponseWriter: w}
		h.Serve(wrapped{k}, httptest.NewRequest(c.method, "/a.css", nil), nil)
		if k.asked != c.asked || w.Body.String() != c.body {
			t.Errorf("%s of %q: asked %q, answered %q", c.method, c.digest, k.asked, w.Body)
		}
	}
}
