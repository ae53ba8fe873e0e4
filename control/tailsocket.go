package control

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// A WebSocket server of the little that a tail needs. It is here, and not a
// library, because wrangler's first message is a text frame without a mask:
// RFC 6455 section 5.1 asks a server to close the connection for that, and
// every library does.

const (
	opText  = 0x1
	opClose = 0x8
	opPing  = 0x9
	opPong  = 0xa

	// maxFrame bounds what a client may send in a frame.
	maxFrame = 64 << 10
	// socketWait is how long a write may take, and socketIdle how long a client
	// may be silent: wrangler pings every 10 s.
	socketWait = 10 * time.Second
	socketIdle = time.Minute
)

// socket is the server's end of a WebSocket. Writing is safe for concurrent use.
type socket struct {
	conn net.Conn
	in   *bufio.Reader
	mu   sync.Mutex // one frame at a time
}

// upgrade answers a WebSocket handshake with the subprotocol, which the client
// must have offered.
func upgrade(w http.ResponseWriter, r *http.Request, protocol string) (*socket, error) {
	key := r.Header.Get("Sec-WebSocket-Key")
	if !headerHas(r.Header, "Connection", "upgrade") || !headerHas(r.Header, "Upgrade", "websocket") || key == "" || r.Header.Get("Sec-WebSocket-Version") != "13" {
		return nil, badRequest(10001, "this URL speaks WebSocket, version 13, only")
	}
	if !headerHas(r.Header, "Sec-WebSocket-Protocol", protocol) {
		return nil, badRequest(10001, "the WebSocket subprotocol must be %s", protocol)
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, fmt.Errorf("take over the connection: %w", err)
	}
	conn.SetDeadline(time.Time{})
	accept := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	s := &socket{conn: conn, in: rw.Reader}
	conn.SetWriteDeadline(time.Now().Add(socketWait))
	_, err = fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: %s\r\n\r\n",
		base64.StdEncoding.EncodeToString(accept[:]), protocol)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("answer the handshake: %w", err)
	}
	return s, nil
}

// headerHas reports whether a header has the element, in any case, in one of
// its comma-separated lists.
func headerHas(h http.Header, name, element string) bool {
	for _, value := range h.Values(name) {
		for part := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.TrimSpace(part), element) {
				return true
			}
		}
	}
	return false
}

// frame is one WebSocket frame, unmasked.
type frame struct {
	op      byte
	payload []byte
}

var errFrame = errors.New("malformed WebSocket frame")

// readFrame reads a frame, masked or not.
func readFrame(r *bufio.Reader) (f frame, err error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return f, err
	}
	if head[0]&0x70 != 0 {
		return f, fmt.Errorf("%w: reserved bits are set though no extension was agreed", errFrame)
	}
	f.op = head[0] & 0x0f
	size := uint64(head[1] & 0x7f)
	if f.op >= opClose && (size > 125 || head[0]&0x80 == 0) {
		return f, fmt.Errorf("%w: a control frame is long or in pieces", errFrame)
	}
	var ext [8]byte
	switch size {
	case 126:
		if _, err := io.ReadFull(r, ext[:2]); err != nil {
			return f, err
		}
		size = uint64(binary.BigEndian.Uint16(ext[:2]))
	case 127:
		if _, err := io.ReadFull(r, ext[:]); err != nil {
			return f, err
		}
		size = binary.BigEndian.Uint64(ext[:])
	}
	if size > maxFrame {
		return f, fmt.Errorf("%w: over %d bytes", errFrame, maxFrame)
	}
	var mask [4]byte
	if head[1]&0x80 != 0 {
		if _, err := io.ReadFull(r, mask[:]); err != nil {
			return f, err
		}
	}
	f.payload = make([]byte, size)
	if _, err := io.ReadFull(r, f.payload); err != nil {
		return f, err
	}
	for i := range f.payload {
		f.payload[i] ^= mask[i&3]
	}
	return f, nil
}

// appendFrame appends an unmasked frame, as servers send them.
func appendFrame(b []byte, op byte, payload []byte) []byte {
	b = append(b, 0x80|op)
	switch n := len(payload); {
	case n < 126:
		b = append(b, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	return append(b, payload...)
}

func (s *socket) write(op byte, payload []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn.SetWriteDeadline(time.Now().Add(socketWait))
	_, err := s.conn.Write(appendFrame(nil, op, payload))
	return err
}

// serve answers pings and ignores messages until the client closes or goes.
func (s *socket) serve() error {
	for {
		s.conn.SetReadDeadline(time.Now().Add(socketIdle))
		f, err := readFrame(s.in)
		if err != nil {
			if errors.Is(err, errFrame) {
				s.close(1002, "protocol error")
			}
			return err
		}
		switch f.op {
		case opPing:
			if err := s.write(opPong, f.payload); err != nil {
				return err
			}
		case opClose:
			s.write(opClose, f.payload) // the client is leaving either way
			return nil
		}
	}
}

// close says goodbye; the connection stays until conn.Close.
func (s *socket) close(code uint16, reason string) error {
	return s.write(opClose, append(binary.BigEndian.AppendUint16(nil, code), reason...))
}
