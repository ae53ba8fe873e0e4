package compress

import (
	"container/list"
	"strconv"
	"sync"
)

// kept are bodies that were compressed once and do not change. The least
// recently used ones give way, so that all together, those in the making
// included, stay within max bytes. It is safe for concurrent use.
type kept struct {
	max int64

	mu     sync.Mutex
	bytes  int64
	bodies map[name]*list.Element // of *keptBody
	used   list.List              // the latest first
}

// name says what a kept body is.
type name struct {
	digest string
	coding coding
}

type keptBody struct {
	name  name
	size  int64 // what it may take while it is made, what it takes afterwards
	body  []byte
	whole bool
}

// find returns a body. Nobody may change it.
func (k *kept) find(n name) ([]byte, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	e, ok := k.bodies[n]
	if !ok || !e.Value.(*keptBody).whole {
		return nil, false
	}
	k.used.MoveToFront(e)
	return e.Value.(*keptBody).body, true
}

// begin makes room for a body of at most size bytes. It returns nil when there
// is none, or when somebody else makes it already. The caller ends or drops it.
func (k *kept) begin(n name, size int64) *keptBody {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ok := k.bodies[n]; ok {
		return nil
	}
	for e := k.used.Back(); e != nil && k.bytes+size > k.max; {
		before := e.Prev()
		if e.Value.(*keptBody).whole {
			k.remove(e)
		}
		e = before
	}
	if k.bytes+size > k.max {
		return nil
	}
	b := &keptBody{name: n, size: size}
	if k.bodies == nil {
		k.bodies = map[name]*list.Element{}
	}
	k.bodies[n] = k.used.PushFront(b)
	k.bytes += size
	return b
}

// end keeps b, which is whole.
func (k *kept) end(b *keptBody) {
	b.body = append(make([]byte, 0, len(b.body)), b.body...) // without room to grow
	k.mu.Lock()
	defer k.mu.Unlock()
	k.bytes += int64(len(b.body)) - b.size
	b.size, b.whole = int64(len(b.body)), true
}

// drop forgets b, which is not to be whole.
func (k *kept) drop(b *keptBody) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.remove(k.bodies[b.name])
}

func (k *kept) remove(e *list.Element) {
	b := k.used.Remove(e).(*keptBody)
	delete(k.bodies, b.name)
	k.bytes -= b.size
}

// Kept answers with a file whose digest is known, if it is kept in the coding
// that this client gets; the header is set. Otherwise the caller answers, and
// what becomes of the body of size bytes is kept.
func (w *writer) Kept(status int, digest string, size int64) bool {
	h := w.Header()
	if w.state != open || w.head || w.ranged || !coded(status) || size < least[gzip] || first(h, "Content-Encoding") != "" ||
		has(h["Cache-Control"], "no-transform") || !listed(first(h, "Content-Type")) {
		return false
	}
	c := parseAccept(w.accept).best()
	if c == identity || size < least[c] {
		return false
	}
	w.digest, w.size = digest, size
	body, ok := w.stage.kept.find(name{digest, c})
	if !ok {
		return false
	}
	recode(h, c)
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.state = plain
	w.ResponseWriter.WriteHeader(status)
	w.ResponseWriter.Write(body)
	return true
}

// encodedBody is where an encoder writes to.
type encodedBody writer

func (b *encodedBody) Write(p []byte) (int, error) {
	n, err := b.ResponseWriter.Write(p)
	if b.made == nil {
		return n, err
	}
	if int64(len(b.made.body)+n) > b.made.size || err != nil {
		b.stage.kept.drop(b.made)
		b.made = nil
	} else {
		b.made.body = append(b.made.body, p[:n]...)
	}
	return n, err
}
