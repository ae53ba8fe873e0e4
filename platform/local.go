package platform

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/control"
	"github.com/selvage-edge/selvage/control/auth"
	"github.com/selvage-edge/selvage/control/state"
)

// Local serves the REST API on a unix socket that only this user can reach. It
// asks for no token but for a secret, made at each start, that is kept beside
// the files: whoever knows it can read the files too. The socket alone opens
// nothing, because cells run as the same user and may find it.
type Local struct {
	// Socket is its path. It is in a folder of its own because a data
	// directory's path may be longer than a socket's may be (107 bytes).
	Socket string
	// Secret is what each request carries in [LocalHeader].
	Secret string

	server *http.Server
	dir    string
}

// LocalHeader carries the secret of the local API.
const LocalHeader = "Selvage-Local-Secret"

// ServeLocal starts serving handler.
func ServeLocal(handler http.Handler) (*Local, error) {
	removeStale()
	dir, err := os.MkdirTemp("", localPrefix) // mode 0700
	if err != nil {
		return nil, fmt.Errorf("serve local API: %w", err)
	}
	l := &Local{Socket: filepath.Join(dir, "api.sock"), Secret: rand.Text(), dir: dir}
	listener, err := net.Listen("unix", l.Socket)
	if err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("serve local API: %w", err)
	}
	l.server = &http.Server{
		Handler: l.guard(handler), ReadHeaderTimeout: 10 * time.Second,
		BaseContext: func(net.Listener) context.Context { return control.WithIdentity(context.Background(), localIdentity) },
	}
	go l.server.Serve(listener)
	return l, nil
}

// guard lets those through who know the secret.
func (l *Local) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given := r.Header.Get(LocalHeader)
		if subtle.ConstantTimeCompare([]byte(given), []byte(l.Secret)) != 1 {
			api.WriteError(w, api.Errorf(http.StatusForbidden, 10000,
				"Authentication error: the local API asks for the secret in the data directory's lock file; use the selvage that the server runs, as the user it runs as"))
			return
		}
		r.Header.Del(LocalHeader)
		next.ServeHTTP(w, r)
	})
}

const localPrefix = "selvage-local-"

// removeStale removes the sockets of processes that were killed: nobody
// listens there. Young ones are left alone, since a socket exists for a moment
// before it listens.
func removeStale() {
	sockets, _ := filepath.Glob(filepath.Join(os.TempDir(), localPrefix+"*", "api.sock"))
	for _, path := range sockets {
		info, err := os.Stat(path)
		if err != nil || time.Since(info.ModTime()) < time.Minute {
			continue
		}
		conn, err := net.Dial("unix", path)
		if err == nil {
			conn.Close()
		} else if errors.Is(err, unix.ECONNREFUSED) {
			os.RemoveAll(filepath.Dir(path))
		}
	}
}

// Close stops serving and removes the socket.
func (l *Local) Close() error {
	err := l.server.Close()
	os.RemoveAll(l.dir)
	return err
}

// localIdentity is whoever knows the secret, in the audit log.
var localIdentity = auth.Identity{ID: "cli", Name: "cli", Scopes: []string{"*"}}

// local adds the stores' local routes, and more, to the REST API.
func (s *Stores) local(rest http.Handler, more ...api.Route) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", rest)
	for _, route := range append(s.localRoutes(), more...) {
		mux.HandleFunc(route.Method+" /client/v4"+route.Path, func(w http.ResponseWriter, r *http.Request) {
			actor := &state.Actor{Token: localIdentity.ID, TokenName: localIdentity.Name, Action: r.Method + " " + strings.TrimPrefix(r.URL.EscapedPath(), "/client/v4")}
			if route.Edit {
				r = r.WithContext(state.WithActor(r.Context(), actor))
			}
			err := route.Handle(w, r)
			if err == nil && route.Edit && !actor.Recorded {
				// The change was to a store that does not write the audit log itself.
				if err := s.State.Update(context.WithoutCancel(r.Context()), func(tx *state.Tx) error { return tx.Audit(actor.Entry()) }); err != nil {
					s.log.Error("write audit log", "action", actor.Action, "err", err)
				}
			}
			if err != nil {
				if _, ok := err.(*api.Error); !ok {
					s.log.Error("local API", "method", r.Method, "path", r.URL.Path, "err", err)
				}
				api.WriteError(w, err)
			}
		})
	}
	return mux
}

// ServeLocal serves the stores' API beside no running platform: for one command.
func (s *Stores) ServeLocal(ctx context.Context) (*Local, error) {
	rest, err := s.API(ctx, control.Options{})
	if err != nil {
		return nil, err
	}
	return ServeLocal(s.local(rest))
}
