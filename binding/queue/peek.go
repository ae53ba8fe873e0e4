package queue

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"time"

	"github.com/selvage-edge/selvage/storage/keyed"
)

// Peeked is a message that somebody looks at.
type Peeked struct {
	ID          string
	Sent        time.Time
	Attempts    int
	ContentType ContentType
	Body        []byte
	// Ref is what PurgeMessages knows the message by until it is retried, or pulled
	// once more.
	Ref string
}

// Peek returns up to n messages in the order of delivery, also those that are
// delayed or in somebody's hands, and leaves them as they are. Zero n: 5.
func (q *Queue) Peek(n int) ([]Peeked, error) {
	if n == 0 {
		n = 5
	}
	if n < 1 || n > MaxBatchMessages {
		return nil, refuse(400, codeBody, "batch_size is %d; it must be 1 to %d", n, MaxBatchMessages)
	}
	q.mu.Lock()
	if q.deleted {
		q.mu.Unlock()
		return nil, ErrNotFound
	}
	old := q.store.now().UnixMilli() - int64(q.row.Settings.Retention)*1000
	from := q.first
	q.mu.Unlock()
	var found []*taken
	err := q.store.db.Scan(messageRow(q.number, from), keyed.After(numberRow(rowMessage, q.number)), func(key, value []byte) bool {
		m := &taken{place: placeOf(key)}
		var bad error
		if m.record, bad = decodeRecord(value); bad == nil && m.born() > old {
			found = append(found, m)
		}
		return len(found) < n
	})
	if err != nil {
		return nil, err
	}
	list := []Peeked{}
	for _, m := range found {
		if err := q.load(m); errors.Is(err, errGone) {
			continue
		} else if err != nil {
			return nil, err
		}
		list = append(list, Peeked{
			ID: m.name(), Sent: time.UnixMilli(m.sent), Attempts: int(m.attempts),
			ContentType: contentTypes[m.kind], Body: m.body, Ref: ref{m.place, m.id}.String(),
		})
	}
	return list, nil
}

// ref names a message at its place.
type ref struct {
	place
	id [16]byte
}

func (r ref) String() string {
	b := binary.BigEndian.AppendUint64(nil, uint64(r.at))
	b = binary.BigEndian.AppendUint64(b, r.seq)
	return base64.RawURLEncoding.EncodeToString(append(b, r.id[:]...))
}

func parseRef(s string) (r ref, ok bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != 32 {
		return r, false
	}
	r.at, r.seq = int64(binary.BigEndian.Uint64(b)), binary.BigEndian.Uint64(b[8:])
	copy(r.id[:], b[16:])
	return r, r.at >= 0
}

// PurgeMessages deletes the messages that refs name, durably, and returns their
// number. Of those that are not there any more, or are in a consumer's hands,
// warnings say so, by ref.
func (q *Queue) PurgeMessages(refs []string) (purged int, warnings map[string]string, err error) {
	warnings = map[string]string{}
	var list []*taken
	q.mu.Lock()
	for _, text := range refs {
		r, ok := parseRef(text)
		if !ok {
			warnings[text] = "ref is malformed"
			continue
		}
		if _, held := q.held[r.seq]; held {
			warnings[text] = "the message is being delivered, or named twice"
			continue
		}
		v, found, err := q.store.db.Get(messageRow(q.number, r.place))
		if err != nil {
			q.mu.Unlock()
			q.release(list)
			return 0, nil, err
		}
		m := &taken{place: r.place, purges: q.purges}
		if found {
			m.record, err = decodeRecord(v.Bytes)
			v.Release()
		}
		if !found || err != nil || m.id != r.id {
			warnings[text] = "ref is not of a message in this queue; it may have been retried, pulled or acknowledged since"
			continue
		}
		q.held[r.seq] = struct{}{} // nobody takes it meanwhile
		list = append(list, m)
	}
	q.mu.Unlock()
	if len(list) == 0 {
		return 0, warnings, nil
	}
	if err := q.drop(list); err != nil {
		q.release(list)
		return 0, nil, err
	}
	return len(list), warnings, nil
}
