package npm

import (
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
)

// fetch streams the tarball through the digest and the unpacker at once and
// renames what was unpacked to dir when both agree.
func (p Package) fetch(ctx context.Context, registry, root, dir string, progress io.Writer) (err error) {
	url := p.url(registry)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("download %s: npm_config_registry: %w", p.Title, err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("download %s: %w: check the network, or %s", p.Title, err, p.Instead)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("download %s: %s answered %s: check npm_config_registry, or %s", p.Title, url, resp.Status, p.Instead)
	}
	partial, err := os.MkdirTemp(root, "*.partial")
	if err != nil {
		return fmt.Errorf("download %s: %w", p.Title, err)
	}
	defer os.RemoveAll(partial) // nothing is left of it when all went well

	report := p.report(registry, resp.ContentLength, progress)
	digest := sha512.New()
	body := &sourceReader{r: io.TeeReader(resp.Body, io.MultiWriter(digest, report))}
	unpackErr := unpack(body, partial)
	var write *writeError
	switch {
	case errors.As(unpackErr, &write):
		return fmt.Errorf("download %s: write %s: %w", p.Title, root, write.err)
	case body.err == nil:
		_, _ = io.Copy(io.Discard, body) // the digest is of the whole tarball
	}
	if body.err != nil {
		return fmt.Errorf("download %s: %s broke off: %w: try again", p.Title, url, body.err)
	}
	if sum := "sha512-" + base64.StdEncoding.EncodeToString(digest.Sum(nil)); sum != p.Integrity {
		return fmt.Errorf("download %s: %s has digest %s, expected %s: it was not kept; check npm_config_registry", p.Title, url, sum, p.Integrity)
	}
	if unpackErr != nil {
		return fmt.Errorf("download %s: unpack %s: %w", p.Title, url, unpackErr)
	}
	if err := os.Rename(filepath.Join(partial, "package"), dir); err != nil {
		return fmt.Errorf("download %s: %w", p.Title, err)
	}
	report.done()
	return nil
}

// sourceReader remembers why reading failed, so that a broken connection is
// told from a broken archive.
type sourceReader struct {
	r   io.Reader
	err error
}

func (s *sourceReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}
