package http1

import (
	"container/list"
	"context"
	"net"
	"net/netip"
	"sync"
)

// places are the connections that may be open at once, all together and of
// each client. When they run out, the one that has been idle longest gives way,
// so that whoever only holds connections keeps nobody out. One is idle while no
// handler runs for it: a client that takes its time to send a header is.
type places struct {
	max, perClient int
	exempt         func(netip.Addr) bool // from perClient

	mu      sync.Mutex
	changed sync.Cond                   // a place is free, or a connection idle
	all     list.List                   // of *place; among the idle, the longest idle first
	clients map[netip.Prefix]*list.List // the same, of one client
}

// place is a connection that counts.
type place struct {
	conn         net.Conn
	client       netip.Prefix // zero: counts for no client
	all, clients *list.Element
	busy         int // requests being answered
	gone         bool
}

func newPlaces(o Options) *places {
	p := &places{max: o.MaxConns, perClient: o.MaxConnsPerClient, exempt: o.Exempt, clients: map[netip.Prefix]*list.List{}}
	p.changed.L = &p.mu
	return p
}

// clientOf is whom a connection counts for: an IPv4 address, or an IPv6 network
// of 64 bits, which is what one subscriber gets.
func clientOf(a net.Addr) netip.Prefix {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	addr := t.AddrPort().Addr().Unmap().WithZone("")
	bits := 64
	if addr.Is4() {
		bits = 32
	}
	prefix, _ := addr.Prefix(bits)
	return prefix
}

// take finds a place for c, and waits for one while every connection is busy.
// It is nil when c's client has all of its own busy, or ctx ends.
func (p *places) take(ctx context.Context, c net.Conn) *place {
	defer context.AfterFunc(ctx, func() {
		p.mu.Lock()
		p.changed.Broadcast()
		p.mu.Unlock()
	})()
	client := clientOf(c.RemoteAddr())
	if client.IsValid() && p.exempt != nil && p.exempt(client.Addr()) {
		client = netip.Prefix{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if own := p.clients[client]; own != nil && own.Len() >= p.perClient && !p.giveWay(own) {
		return nil
	}
	for p.all.Len() >= p.max && !p.giveWay(&p.all) {
		if p.changed.Wait(); ctx.Err() != nil {
			return nil
		}
	}
	x := &place{conn: c, client: client}
	x.all = p.all.PushBack(x)
	if client.IsValid() {
		own := p.clients[client]
		if own == nil {
			own = list.New()
			p.clients[client] = own
		}
		x.clients = own.PushBack(x)
	}
	return x
}

// giveWay closes the connection of l that has been idle longest, if any.
func (p *places) giveWay(l *list.List) bool {
	for range l.Len() {
		x := l.Front().Value.(*place)
		if x.busy == 0 {
			p.remove(x)
			x.conn.Close()
			return true
		}
		l.MoveToBack(l.Front()) // it is looked at again when all others have been
	}
	return false
}

func (p *places) remove(x *place) {
	if x.gone {
		return
	}
	x.gone = true
	p.all.Remove(x.all)
	if x.clients != nil {
		own := p.clients[x.client]
		if own.Remove(x.clients); own.Len() == 0 {
			delete(p.clients, x.client)
		}
	}
	p.changed.Signal()
}

// free is for a connection that was closed.
func (p *places) free(x *place) {
	p.mu.Lock()
	p.remove(x)
	p.mu.Unlock()
}

// enter says that a request begins; false: the connection has given way.
func (p *places) enter(x *place) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	x.busy++
	return !x.gone
}

// leave says that a request has ended.
func (p *places) leave(x *place) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if x.busy--; x.busy > 0 || x.gone {
		return
	}
	p.all.MoveToBack(x.all)
	if x.clients != nil {
		p.clients[x.client].MoveToBack(x.clients)
	}
	p.changed.Signal()
}

// open is the number of connections.
func (p *places) open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.all.Len()
}

type placeKey struct{}

// placeOf is the place of a connection that a listener has given.
func placeOf(c net.Conn) *place {
	for {
		switch v := c.(type) {
		case *slot:
			return v.place
		case *plainConn:
			c = v.Conn
		case *replayConn:
			c = v.plainConn
		case *tlsConn:
			c = v.conn
		case *h2Conn:
			c = v.conn
		case interface{ NetConn() net.Conn }: // *tls.Conn
			c = v.NetConn()
		default:
			return nil
		}
	}
}
