package edge

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
)

// connection is what the requests of one connection have in common.
type connection struct {
	remote netip.Addr
	cf     atomic.Pointer[cfBlob]

	textOnce   sync.Once
	remoteText string // of remote
}

// text returns the client's address as it stands in headers.
func (c *connection) text() string {
	c.textOnce.Do(func() { c.remoteText = c.remote.String() })
	return c.remoteText
}

type connectionKey struct{}

func withConnection(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, &connection{remote: address(c.RemoteAddr())})
}

func address(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.IPv6Loopback() // a unix socket: a process of this machine
}

// connectionOf finds the record, or makes one for requests that came through a
// listener that is not ours.
func connectionOf(r *http.Request) *connection {
	if c, ok := r.Context().Value(connectionKey{}).(*connection); ok {
		return c
	}
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return &connection{remote: netip.IPv6Loopback()}
	}
	return &connection{remote: ap.Addr().Unmap().WithZone("")}
}
