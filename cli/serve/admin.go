package serve

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"github.com/selvage-edge/selvage/edge"
)

// adminServer answers on the admin address: the REST API, health, metrics and
// profiles.
type adminServer struct {
	http  *http.Server
	ready atomic.Bool
}

func (a *adminServer) open(s *server) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		full := s.platform.Stores.Room()
		switch err := s.platform.Stores.Ping(ctx); {
		case !a.ready.Load():
			http.Error(w, "stopping", http.StatusServiceUnavailable)
		case err != nil:
			s.log.Error("not ready", "err", err)
			http.Error(w, "the data directory does not answer; the server's log has the details", http.StatusServiceUnavailable)
		case full != nil:
			http.Error(w, "the disk is full: "+full.Error(), http.StatusServiceUnavailable)
		default:
			io.WriteString(w, "ok\n")
		}
	})
	mux.Handle("GET /metrics", s.guardMetrics(s.metrics.Handler()))
	profiles := s.guardProfiles(http.HandlerFunc(pprof.Index)) // which also answers for heap, goroutine and so on
	mux.Handle("/debug/pprof/", profiles)
	for name, handler := range map[string]http.HandlerFunc{"cmdline": pprof.Cmdline, "profile": pprof.Profile, "symbol": pprof.Symbol, "trace": pprof.Trace} {
		mux.Handle("/debug/pprof/"+name, s.guardProfiles(handler))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "this is the admin address: the REST API is at /client/v4; there are /healthz, /readyz, /metrics and /debug/pprof/", http.StatusNotFound)
	})
	a.http = &http.Server{
		Handler:           unredirected(s.platform.API, mux),
		ReadHeaderTimeout: 15 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

// unredirected sends the API's paths to it as they are, and the others to mux
// unless mux would answer with a redirect: to a path that is cleaner, or that has
// a slash at its end.
func unredirected(api http.Handler, mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := r.URL.Path
		switch clean := path.Clean(p); {
		case strings.HasPrefix(p, "/client/v4/"):
			api.ServeHTTP(w, r)
		case p != clean && p != clean+"/", p == "/debug/pprof":
			http.NotFound(w, r)
		default:
			mux.ServeHTTP(w, r)
		}
	})
}

func (a *adminServer) serve(l net.Listener) error {
	if err := a.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// close lets calls finish. Live tails, which never do, are cut off by the end
// of the process.
func (a *adminServer) close(ctx context.Context) error {
	if err := a.http.Shutdown(ctx); err != nil {
		return a.http.Close()
	}
	return nil
}

// guardMetrics lets loopback through, unless something in front of us makes
// everyone look like loopback; everyone else needs an API token, and so does who
// asks for another host: a page in a browser of this machine, whose name was
// made to lead here.
func (s *server) guardMetrics(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, _ := netip.ParseAddrPort(r.RemoteAddr)
		trusted := from.Addr().Unmap().IsLoopback() && !s.settings.Load().AdminInsecure && edge.IsThisMachine(r.Host)
		if !trusted && !s.allows(r, "account", false) {
			http.Error(w, "metrics need an API token with the scope account:read: Authorization: Bearer …", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// guardProfiles asks everyone for a token that may do everything: a profile
// shows what is in the memory, and making one takes processor time.
func (s *server) guardProfiles(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.allows(r, "*", true) {
			http.Error(w, "profiles need an API token with the scope *: Authorization: Bearer …", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// allows reports whether the request has a token for an operation on resource.
func (s *server) allows(r *http.Request, resource string, edit bool) bool {
	from, _ := netip.ParseAddrPort(r.RemoteAddr)
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	id, err := s.platform.Stores.Auth.Verify(r.Context(), token, from.Addr().Unmap())
	return err == nil && id.Allows(resource, edit)
}
