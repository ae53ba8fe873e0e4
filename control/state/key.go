package state

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/selvage-edge/selvage/storage/disk"
)

// KeyEnv is the environment variable that may hold the key of the secrets
// (base64 of 32 bytes) instead of the file secret.key.
const KeyEnv = "SELVAGE_SECRET_KEY"

// keySize is that of AES-256.
const keySize = 32

// sealer seals small values with AES-256-GCM. Each value is bound to a name,
// so that one cannot be put in the place of another.
type sealer struct{ aead cipher.AEAD }

func newSealer(key []byte) (sealer, error) {
	if len(key) != keySize {
		return sealer{}, fmt.Errorf("the secret key has %d bytes, want %d", len(key), keySize)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return sealer{}, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return sealer{aead}, err
}

func (s sealer) seal(text []byte, name string) ([]byte, error) {
	return s.aead.Seal(nil, nil, text, []byte(name)), nil
}

func (s sealer) open(sealed []byte, name string) ([]byte, error) {
	return s.aead.Open(nil, nil, sealed, []byte(name))
}

// findKey returns a sealer for key, or else for the key in the environment, or
// else for the key in dir. If there is none it is made if it may be.
func findKey(dir string, key []byte, mayMake bool) (sealer, error) {
	if key != nil {
		return newSealer(key)
	}
	if text := os.Getenv(KeyEnv); text != "" {
		key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
		if err != nil {
			return sealer{}, fmt.Errorf("%s is not base64; make one with: openssl rand -base64 32", KeyEnv)
		}
		return newSealer(key)
	}
	path := filepath.Join(dir, "secret.key")
	data, err := os.ReadFile(path)
	if (err != nil && errors.Is(err, fs.ErrNotExist) || err == nil && len(data) == 0) && !mayMake {
		return sealer{}, fmt.Errorf("%s is lost: it is missing or empty, and what it sealed cannot be read without it: put it back or set %s to the key", path, KeyEnv)
	}
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeKey(path); err != nil {
			return sealer{}, fmt.Errorf("make %s: %w", path, err)
		}
		data, err = os.ReadFile(path)
	}
	if err != nil {
		return sealer{}, fmt.Errorf("read secret key: %w", err)
	}
	key, err = base64.StdEncoding.DecodeString(strings.TrimSpace(string(data)))
	if err != nil {
		return sealer{}, fmt.Errorf("read %s: not base64", path)
	}
	return newSealer(key)
}

// makeKey writes a new key so that path has the whole of it or does not exist,
// and leaves a key that another process made in the meantime alone.
func makeKey(path string) error {
	key := make([]byte, keySize)
	rand.Read(key)                                               // never fails
	f, err := os.CreateTemp(filepath.Dir(path), ".secret.key-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err := f.WriteString(base64.StdEncoding.EncodeToString(key) + "\n"); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return disk.SyncFolder(filepath.Dir(path))
}
