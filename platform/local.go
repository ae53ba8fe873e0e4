package platform

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/selvage-edge/selvage/api"
)

// Local serves the REST API on a unix socket that only this user can reach. It
// asks for no token: whoever can open the socket can read the files too.
type Local struct {
	// Socket is its path. It is in a folder of its own because a data
	// directory's path may be longer than a socket's may be (107 bytes).
	Socket string

	server *http.Server
	dir    string
}

// ServeLocal starts serving handler.
func ServeLocal(handler http.Handler) (*Local, error) {
	dir, err := os.MkdirTemp("", "selvage-local-") // mode 0700
	if err != nil {
		return nil, fmt.Errorf("serve local API: %w", err)
	}
	l := &Local{Socket: filepath.Join(dir, "api.sock"), dir: dir}
	listener, err := net.Listen("unix", l.Socket)
	if err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("serve local API: %w", err)
	}
	l.server = &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go l.server.Serve(listener)
	return l, nil
}

// Close stops serving and removes the socket.
func (l *Local) Close() error {
	err := l.server.Close()
	os.RemoveAll(l.dir)
	return err
}

// localAPI mounts routes for a caller who needs no token.
func localAPI(account string, log *slog.Logger, lists ...[]api.Route) http.Handler {
	mux := http.NewServeMux()
	lists = append(lists, []api.Route{{
		Method: http.MethodGet, Path: "/accounts",
		Handle: func(w http.ResponseWriter, r *http.Request) error {
			list, info := api.Paginate(r, []map[string]string{{"id": account, "name": "selvage"}}, 20)
			return api.WriteList(w, list, info)
		},
	}})
	for _, routes := range lists {
		for _, route := range routes {
			mux.HandleFunc(route.Method+" /client/v4"+route.Path, func(w http.ResponseWriter, r *http.Request) {
				if err := route.Handle(w, r); err != nil {
					if _, ok := err.(*api.Error); !ok {
						log.Error("local API failed", "method", r.Method, "path", r.URL.Path, "err", err)
					}
					api.WriteError(w, err)
				}
			})
		}
	}
	return mux
}
