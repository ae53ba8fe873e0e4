package control

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/control/state"
	"github.com/selvage-edge/selvage/storage/blob"
)

// Limits of static assets.
//
// Source: https://developers.cloudflare.com/workers/platform/limits/#static-assets
const (
	// MaxAssetBytes is the size of one file.
	MaxAssetBytes = 25 << 20
	// MaxAssetFiles is the number of files of a version.
	MaxAssetFiles = 100_000

	// bucketBytes and bucketFiles bound what a client sends in one request.
	bucketBytes = 40 << 20
	bucketFiles = 500
	// maxBucketBody bounds the body of one request, base64 and form included.
	maxBucketBody = 100 << 20
)

// assetClaims are in the tokens of an asset upload. Clients read the expiry
// and wrangler_single_asset_uploads; the rest is ours.
type assetClaims struct {
	jwt.RegisteredClaims
	Session string `json:"session"`
	// Complete: every file of the session is stored.
	Complete bool `json:"complete,omitempty"`
	// Single asks newer clients to send each file as it is, in a request of its
	// own, instead of many in one form as base64.
	Single bool `json:"wrangler_single_asset_uploads,omitempty"`
}

// signingKey is the key of the asset tokens. It is kept so that an upload
// survives a restart.
func signingKey(ctx context.Context, s *state.Store) (key []byte, err error) {
	err = s.Update(ctx, func(tx *state.Tx) error {
		text, err := tx.Setting("asset_key")
		if errors.Is(err, state.ErrNotFound) {
			var b [32]byte
			rand.Read(b[:]) // never fails
			text = hex.EncodeToString(b[:])
			err = tx.PutSetting("asset_key", text)
		}
		if err != nil {
			return err
		}
		key, err = hex.DecodeString(text)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("asset key: %w", err)
	}
	return key, nil
}

func (s *server) assetToken(session string, complete, single bool) (string, error) {
	now := s.state.Now()
	return jwt.NewWithClaims(jwt.SigningMethodHS256, assetClaims{
		RegisteredClaims: jwt.RegisteredClaims{IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(state.AssetSessionLife))},
		Session:          session, Complete: complete, Single: single,
	}).SignedString(s.key)
}

// assetClaims reads the token of an asset upload.
func (s *server) assetClaims(token string) (claims assetClaims, err error) {
	_, err = jwt.ParseWithClaims(token, &claims, func(*jwt.Token) (any, error) { return s.key, nil },
		jwt.WithValidMethods([]string{"HS256"}), jwt.WithTimeFunc(s.state.Now), jwt.WithExpirationRequired())
	if err != nil {
		err = api.Errorf(http.StatusUnauthorized, 10000, "Authentication error: the token of the asset upload is not valid: %v", err)
	}
	return claims, err
}

var errSessionEnded = api.Errorf(http.StatusUnauthorized, 10000, "Authentication error: the asset upload session has ended; deploy again")

// completed returns the session that a completion token belongs to.
func (s *server) completed(r *http.Request, token string) (state.AssetSession, error) {
	claims, err := s.assetClaims(token)
	if err != nil {
		return state.AssetSession{}, err
	}
	if !claims.Complete {
		return state.AssetSession{}, refused("metadata.assets.jwt is the token of a session whose files have not all been uploaded")
	}
	var session state.AssetSession
	err = s.view(r, func(tx *state.Tx) error {
		session, err = tx.AssetSession(claims.Session)
		return orNotFound(err, errSessionEnded)
	})
	return session, err
}

// startAssets says which files of a manifest are to be uploaded. A hash is the
// client's name for a file and means nothing here.
func (s *server) startAssets(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Manifest map[string]struct {
			Hash string `json:"hash"`
			Size int64  `json:"size"`
		} `json:"manifest"`
	}
	if err := api.Decode(r, &body); err != nil {
		return err
	}
	if len(body.Manifest) > MaxAssetFiles {
		return refused("a version has at most %d static assets, not %d", MaxAssetFiles, len(body.Manifest))
	}
	paths, sizes := map[string]string{}, map[string]int64{}
	for path, f := range body.Manifest {
		switch {
		case !strings.HasPrefix(path, "/"):
			return refused("asset path %q does not start with /", path)
		case len(f.Hash) != 32 || strings.Trim(f.Hash, "0123456789abcdef") != "":
			return refused("asset %s: the hash %q is not 32 hexadecimal digits", path, f.Hash)
		case f.Size < 0 || f.Size > MaxAssetBytes:
			return refused("asset %s has %d bytes; the limit is %d", path, f.Size, MaxAssetBytes)
		}
		paths[path], sizes[f.Hash] = f.Hash, f.Size
	}
	var session state.AssetSession
	var missing []string
	err := s.update(r, func(tx *state.Tx) (err error) {
		session, missing, err = tx.StartAssets(r.PathValue("script"), paths)
		return err
	})
	if err != nil {
		return err
	}
	token, err := s.assetToken(session.ID, len(missing) == 0, true)
	if err != nil {
		return err
	}
	return api.Write(w, map[string]any{"jwt": token, "buckets": buckets(missing, sizes)})
}

// buckets groups files into requests of a reasonable size.
func buckets(hashes []string, sizes map[string]int64) [][]string {
	list := [][]string{}
	var room int64
	for _, hash := range hashes {
		size := sizes[hash]
		if last := len(list) - 1; last < 0 || size > room || len(list[last]) == bucketFiles {
			list, room = append(list, nil), bucketBytes
		}
		last := len(list) - 1
		list[last] = append(list[last], hash)
		room -= size
	}
	return list
}

func bearer(r *http.Request) string {
	_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return token
}

// uploadAssets takes many files in one form: the name of a part is the hash,
// its type that of the file, its body base64.
func (s *server) uploadAssets(w http.ResponseWriter, r *http.Request) error {
	claims, err := s.assetClaims(bearer(r))
	if err != nil {
		return err
	}
	form, err := formReader(r.Header.Get("Content-Type"), http.MaxBytesReader(w, r.Body, maxBucketBody))
	if err != nil {
		return err
	}
	plain := r.URL.Query().Get("base64") != "true"
	var files []state.AssetFile
	var pins []*blob.Pin
	defer func() {
		for _, p := range pins {
			p.Release()
		}
	}()
	for {
		part, err := form.NextRawPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			return formError(err)
		}
		var body io.Reader = part
		if !plain {
			body = base64.NewDecoder(base64.StdEncoding, part)
		}
		f, pin, err := s.storeAsset(r, claims.Session, part.FormName(), part.Header.Get("Content-Type"), body)
		if err != nil {
			return err
		}
		files, pins = append(files, f), append(pins, pin)
	}
	return s.addAssets(w, r, claims.Session, files)
}

// uploadAsset takes one file as it is.
func (s *server) uploadAsset(w http.ResponseWriter, r *http.Request) error {
	claims, err := s.assetClaims(bearer(r))
	if err != nil {
		return err
	}
	f, pin, err := s.storeAsset(r, claims.Session, r.PathValue("hash"), r.Header.Get("Content-Type"), r.Body)
	if err != nil {
		return err
	}
	defer pin.Release()
	return s.addAssets(w, r, claims.Session, []state.AssetFile{f})
}

// storeAsset stores a file, which must be one of the session's. Its cost does not
// depend on how many those are.
func (s *server) storeAsset(r *http.Request, session, hash, typ string, body io.Reader) (state.AssetFile, *blob.Pin, error) {
	err := s.view(r, func(tx *state.Tx) error {
		wanted, err := tx.AssetWanted(session, hash)
		if err == nil && !wanted {
			return badRequest(10001, "the asset %q is not in the manifest of this upload session", hash)
		}
		return orNotFound(err, errSessionEnded)
	})
	if err != nil {
		return state.AssetFile{}, nil, err
	}
	if mediaType, _, err := mime.ParseMediaType(typ); err == nil && mediaType == "application/null" {
		typ = "" // the client's word for a file without a type
	}
	limited := &io.LimitedReader{R: body, N: MaxAssetBytes + 1}
	source := &remembering{Reader: limited}
	pin, err := s.state.PutBlob(source)
	if source.err != nil {
		return state.AssetFile{}, nil, badRequest(10001, "read asset %s: %v", hash, source.err)
	}
	if err != nil {
		return state.AssetFile{}, nil, fmt.Errorf("store asset %s: %w", hash, err)
	}
	if limited.N == 0 {
		pin.Release()
		return state.AssetFile{}, nil, api.Errorf(http.StatusRequestEntityTooLarge, 10021, "asset %s has more than %d bytes", hash, MaxAssetBytes)
	}
	return state.AssetFile{Hash: hash, Digest: pin.Digest.String(), Size: pin.Size, Type: typ}, pin, nil
}

// remembering tells errors of the client apart from those of the disk.
type remembering struct {
	io.Reader
	err error
}

func (r *remembering) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}

// addAssets records stored files. The answer has the completion token when
// and only when the session has all of its files.
func (s *server) addAssets(w http.ResponseWriter, r *http.Request, session string, files []state.AssetFile) error {
	var complete bool
	err := s.state.Update(context.WithoutCancel(r.Context()), func(tx *state.Tx) (err error) {
		complete, err = tx.AddAssets(session, files)
		return err
	})
	if err != nil {
		return err
	}
	result := map[string]any{}
	if complete {
		if result["jwt"], err = s.assetToken(session, true, false); err != nil {
			return err
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	return json.NewEncoder(w).Encode(api.Envelope{Success: true, Result: result, Errors: []*api.Error{}, Messages: []any{}})
}
