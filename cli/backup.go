package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"github.com/selvage-edge/selvage/platform"
	"github.com/selvage-edge/selvage/storage/backup"
	"github.com/selvage-edge/selvage/storage/disk"
)

type backupCommand struct {
	serverData
	File    string `arg:"" help:"The file to write; it must not exist." type:"path"`
	WithKey bool   `help:"Include the key of the secrets. Whoever has the file can then read them."`
}

// Run writes beside the file, proves that the copy is whole, and gives it its
// name then.
func (b *backupCommand) Run(ctx context.Context, streams IO) (err error) {
	if _, err := os.Lstat(b.File); err == nil {
		return fmt.Errorf("%s exists; name a new file", b.File)
	}
	dir, err := b.dir()
	if err != nil {
		return err
	}
	if _, err := os.Stat(dir); err != nil {
		return fmt.Errorf("there is no data directory: %w; name it with --data", err)
	}
	c, err := connect(ctx, dir)
	if err != nil {
		return err
	}
	defer c.close()
	f, err := os.CreateTemp(filepath.Dir(b.File), ".selvage-backup-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	res, err := c.send(ctx, http.MethodGet, fmt.Sprintf("/local/backup?key=%t", b.WithKey), nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	size, err := io.Copy(f, res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = errors.New(res.Status)
	}
	if err != nil {
		return fmt.Errorf("the backup broke off (the server's log may say why): %w", err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if _, err := backup.Verify(f); err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), os.Rename(f.Name(), b.File), disk.SyncFolder(filepath.Dir(b.File))); err != nil {
		return err
	}
	fmt.Fprintf(streams.Stdout, "%s: %d bytes\n", b.File, size)
	if !b.WithKey {
		fmt.Fprintf(streams.Stderr, "The key of the secrets is not in it: keep a copy of %s elsewhere, or use --with-key.\n", filepath.Join(dir, "secret.key"))
	}
	return nil
}

type restoreCommand struct {
	serverData
	File string `arg:"" help:"The backup." type:"existingfile"`
}

func (r *restoreCommand) Run(streams IO) error {
	dir, err := r.dir()
	if err != nil {
		return err
	}
	f, err := os.Open(r.File)
	if err != nil {
		return err
	}
	defer f.Close()
	h, err := platform.Restore(f, dir)
	if err != nil {
		return err
	}
	fmt.Fprintf(streams.Stdout, "%s: account %s as of %s\n", dir, h.Account, h.Created.Format("2006-01-02 15:04:05 UTC"))
	if !h.Key {
		fmt.Fprintf(streams.Stderr, "The key of the secrets was not in the backup: put it at %s, or into SELVAGE_SECRET_KEY, before you start the server.\n", filepath.Join(dir, "secret.key"))
	}
	return nil
}
