package control

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/control/auth"
	"github.com/selvage-edge/selvage/control/state"
	"github.com/selvage-edge/selvage/storage/budget"
	"github.com/selvage-edge/selvage/storage/sqlite"
)

type identityKey struct{}

// WithIdentity returns a context whose requests are id's, without a token. It
// is for a listener that has made sure of its clients by other means; what
// comes over a network cannot get there.
func WithIdentity(ctx context.Context, id auth.Identity) context.Context {
	return context.WithValue(ctx, identityKey{}, id)
}

// identity is who made the request.
func identity(r *http.Request) auth.Identity {
	id, _ := r.Context().Value(identityKey{}).(auth.Identity)
	return id
}

// guard is what stands between the network and an operation: the token, its
// scopes, the account, the audit log, and the rendering of errors.
//
// foreign are the routes of other packages, whose writes are not updates of
// the state.
func (s *server) guard(route api.Route, foreign bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := s.admit(route, foreign, w, r)
		if err == nil {
			return
		}
		var e *api.Error
		if !errors.As(err, &e) && !errors.Is(err, context.Canceled) {
			s.Log.Error("REST API", "method", r.Method, "path", r.URL.Path, "err", err)
		}
		if e == nil && errors.Is(err, state.ErrQuota) {
			err = badRequest(10021, "%v: delete Workers, or raise quotas.code", state.ErrQuota)
		}
		if e == nil && errors.Is(err, state.ErrWorkerQuota) {
			err = badRequest(10021, "%v: delete the Worker, or raise quotas.worker_code", state.ErrWorkerQuota)
		}
		if e == nil && sqlite.DiskFull(err) {
			err = api.Errorf(http.StatusInsufficientStorage, 10013, "the server cannot write to its data directory: the disk is full, or failing. Nothing was changed; its log has the details")
		}
		api.WriteError(w, err)
	})
}

func (s *server) admit(route api.Route, foreign bool, w http.ResponseWriter, r *http.Request) error {
	if route.Open {
		return route.Handle(w, r)
	}
	id, err := s.authenticate(r)
	if err != nil {
		return err
	}
	if !id.Allows(route.Scope, route.Edit) {
		level := "read"
		if route.Edit {
			level = "edit"
		}
		return api.Errorf(http.StatusForbidden, 10000, "Authentication error: the API token %q does not have the scope %s:%s", id.Name, route.Scope, level)
	}
	if account := r.PathValue("account"); account != "" && account != s.account {
		return api.Errorf(http.StatusForbidden, 10000, "Authentication error: this server has no account %s; its account id is %s", account, s.account)
	}
	lease, err := s.lend(r, id)
	if err != nil {
		return err
	}
	defer lease.Release()
	ctx := context.WithValue(r.Context(), identityKey{}, id)
	if !route.Edit {
		return route.Handle(w, r.WithContext(ctx))
	}
	actor := &state.Actor{Token: id.ID, TokenName: id.Name, From: client(r).String(), Action: r.Method + " " + r.URL.EscapedPath()}
	if foreign {
		return s.recorded(route, actor, w, r.WithContext(ctx))
	}
	return route.Handle(w, r.WithContext(state.WithActor(ctx, actor))) // the entry is part of the update
}

// smallBody is a body whose memory is not counted.
const smallBody = 1 << 20

// heldTimes is how often an upload is in memory at its worst, what the collector
// has not yet freed included: as it came, as modules, and read back for the trial
// and for the cell. A PUT of 57 MB was measured at 4.7 times.
const heldTimes = 5

// lend takes the memory that a request needs whose body is held in memory. The
// token's share is enough for the largest.
func (s *server) lend(r *http.Request, id auth.Identity) (*budget.Lease, error) {
	var bytes int64
	if size := r.ContentLength; size < 0 || size > smallBody {
		bytes = heldTimes * (maxUploadBytes + maxMetadataBytes)
		if size > 0 {
			bytes = min(bytes, heldTimes*size)
		}
	}
	if bytes == 0 {
		return &budget.Lease{}, nil
	}
	lease, err := s.Memory.Take(r.Context(), id.ID, bytes)
	if errors.Is(err, budget.ErrFull) {
		return nil, api.Errorf(http.StatusServiceUnavailable, 10013, "the server has no memory left for this upload: %v; try again, or raise limits.upload_memory", err)
	}
	return lease, err
}

// maxHashedAhead is how much of a body is read before its request is recorded.
const maxHashedAhead = 1 << 20

// recorded handles a write of another package, which has a store of its own. The
// entry is written first: what cannot be recorded does not happen. A second
// one follows when the request is refused after all, or when its body was too
// large to be hashed ahead.
func (s *server) recorded(route api.Route, actor *state.Actor, w http.ResponseWriter, r *http.Request) error {
	entry := actor.Entry()
	audit := func() error {
		return s.state.Update(context.WithoutCancel(r.Context()), func(tx *state.Tx) error { return tx.Audit(entry) })
	}
	ahead, err := io.ReadAll(io.LimitReader(r.Body, maxHashedAhead+1))
	if err != nil {
		return badRequest(10001, "read request body: %v", err)
	}
	body := &hashing{Reader: io.MultiReader(bytes.NewReader(ahead), r.Body), Closer: r.Body, hash: sha256.New()}
	large := len(ahead) > maxHashedAhead
	if !large {
		digest := sha256.Sum256(ahead)
		entry.Body = hex.EncodeToString(digest[:])
	}
	if err := audit(); err != nil {
		return err
	}
	r.Body = body
	err = route.Handle(w, r)
	switch {
	case err != nil:
		entry.Error = "internal error"
		var e *api.Error
		if errors.As(err, &e) {
			entry.Error = e.Error()
		}
	case large:
		entry.Body = hex.EncodeToString(body.hash.Sum(nil))
	default:
		return nil
	}
	if err := audit(); err != nil {
		s.Log.Error("write audit log", "action", actor.Action, "err", err)
	}
	return err
}

// authenticate finds the token of a request. A token may also be given as an
// API key, because CLOUDFLARE_API_KEY takes precedence in clients.
func (s *server) authenticate(r *http.Request) (auth.Identity, error) {
	if id, ok := r.Context().Value(identityKey{}).(auth.Identity); ok {
		return id, nil
	}
	token := r.Header.Get("X-Auth-Key")
	if token == "" {
		kind, rest, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if strings.EqualFold(kind, "Bearer") {
			token = strings.TrimSpace(rest)
		}
	}
	if token == "" {
		return auth.Identity{}, api.Errorf(http.StatusBadRequest, 9106, "Missing X-Auth-Key, X-Auth-Email or Authorization headers")
	}
	id, err := s.Auth.Verify(r.Context(), token, client(r))
	switch {
	case errors.Is(err, auth.ErrThrottled):
		return id, api.Errorf(http.StatusTooManyRequests, 10000, "Authentication error: %v", err)
	case errors.Is(err, auth.ErrWrong), errors.Is(err, auth.ErrExpired):
		return id, api.Errorf(http.StatusUnauthorized, 10000, "Authentication error: %v", err)
	}
	return id, err
}

// client is the address of the other end of the connection. Headers that claim
// another one are not believed.
func client(r *http.Request) netip.Addr {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	a, _ := netip.ParseAddr(host)
	return a.Unmap()
}

// hashing takes the SHA-256 of a body as it is read.
type hashing struct {
	io.Reader
	io.Closer
	hash hash.Hash
}

func (h *hashing) Read(p []byte) (int, error) {
	n, err := h.Reader.Read(p)
	h.hash.Write(p[:n])
	return n, err
}
