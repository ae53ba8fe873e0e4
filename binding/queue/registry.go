package queue

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/selvage-edge/selvage/storage/keyed"
)

// row is what is stored of a queue itself, as JSON.
type row struct {
	Number   uint64    `json:"number"`
	Name     string    `json:"name"`
	Created  time.Time `json:"created"`
	Modified time.Time `json:"modified"`
	Settings Settings  `json:"settings"`
	// Consumer is the one that the queue has; nil without.
	Consumer *Consumer `json:"consumer,omitempty"`
	// Purged is when the queue was last emptied.
	Purged time.Time `json:"purged,omitzero"`
}

// Settings are those of a queue. Durations are in seconds, as in the REST API.
type Settings struct {
	// DeliveryDelay holds back messages that are sent without a delay.
	DeliveryDelay int `json:"delivery_delay"`
	// DeliveryPaused: messages are accepted and not delivered.
	DeliveryPaused bool `json:"delivery_paused"`
	// Retention is how long messages are kept. Default: DefaultRetention.
	Retention int `json:"message_retention_period"`
}

// check says what is wrong with the settings.
func (s Settings) check() error {
	if s.DeliveryDelay < 0 || s.DeliveryDelay > int(MaxDelay/time.Second) {
		return refuse(400, codeSettings, "delivery_delay is %d; it must be 0 to %d seconds", s.DeliveryDelay, MaxDelay/time.Second)
	}
	if low, high := int(MinRetention/time.Second), int(MaxRetention/time.Second); s.Retention < low || s.Retention > high {
		return refuse(400, codeSettings, "message_retention_period is %d; it must be %d to %d seconds", s.Retention, low, high)
	}
	return nil
}

// Info describes a queue.
type Info struct {
	ID, Name          string
	Created, Modified time.Time
	Settings          Settings
	// Consumer is nil if the queue has none.
	Consumer *Consumer
	// Purged is when the queue was last emptied; zero: never.
	Purged time.Time
}

// Info describes the queue.
func (q *Queue) Info() Info {
	q.mu.Lock()
	defer q.mu.Unlock()
	r := q.row
	if q.declared != nil {
		r.Consumer = q.declared
	}
	return Info{q.id, r.Name, r.Created, r.Modified, r.Settings, r.Consumer, r.Purged}
}

// Create makes a queue. The error is ErrNameTaken if another one has the name.
// Zero settings are the defaults.
func (s *Store) Create(name string, settings Settings) (*Queue, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.create(name, settings)
}

// Ensure returns the queue with a name and makes it if there is none.
func (s *Store) Ensure(name string) (*Queue, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q := s.byName[name]; q != nil {
		return q, nil
	}
	return s.create(name, Settings{})
}

func (s *Store) create(name string, settings Settings) (*Queue, error) {
	if err := checkName(name); err != nil {
		return nil, refuse(400, codeSettings, "%v", err)
	}
	if settings.Retention == 0 {
		settings.Retention = int(DefaultRetention / time.Second)
	}
	if err := settings.check(); err != nil {
		return nil, err
	}
	if s.byName[name] != nil {
		return nil, ErrNameTaken
	}
	if len(s.byID) >= MaxQueues {
		return nil, refuse(400, codeSettings, "there are %d queues, and no more are allowed; delete one", len(s.byID))
	}
	var random [16]byte
	rand.Read(random[:])
	q := s.queue(hex.EncodeToString(random[:]))
	now := s.now().UTC()
	q.number = s.latest + 1
	q.row = row{Number: q.number, Name: name, Created: now, Modified: now, Settings: settings}
	b := s.db.Batch()
	defer b.Close()
	number, err := json.Marshal(q.number)
	if err != nil {
		return nil, err
	}
	b.Set([]byte{keyed.SpaceQueue, rowNumber}, number)
	if err := q.row.stage(b, q.id); err != nil {
		return nil, err
	}
	if err := b.Commit(); err != nil {
		return nil, fmt.Errorf("create queue %s: %w", name, err)
	}
	s.latest = q.number
	s.byID[q.id], s.byName[name] = q, q
	return q, nil
}

func (r row) stage(b keyed.Batch, id string) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	b.Set(append([]byte{keyed.SpaceQueue, rowQueue}, id...), data)
	return nil
}

// change stores what edit makes of the queue's row.
func (q *Queue) change(edit func(r *row) error) error {
	s := q.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byID[q.id] != q {
		return ErrNotFound
	}
	q.mu.Lock()
	r := q.row
	q.mu.Unlock()
	before := r.Name
	if err := edit(&r); err != nil {
		return err
	}
	if other := s.byName[r.Name]; other != nil && other != q {
		return ErrNameTaken
	}
	r.Modified = s.now().UTC()
	b := s.db.Batch()
	defer b.Close()
	if err := r.stage(b, q.id); err != nil {
		return err
	}
	if err := b.Commit(); err != nil {
		return fmt.Errorf("change queue %s: %w", before, err)
	}
	q.mu.Lock()
	q.row = r
	q.mu.Unlock()
	delete(s.byName, before)
	s.byName[r.Name] = q
	s.tell()
	return nil
}

// Update changes the queue's name and settings.
func (q *Queue) Update(name string, settings Settings) error {
	if err := checkName(name); err != nil {
		return refuse(400, codeSettings, "%v", err)
	}
	if err := settings.check(); err != nil {
		return err
	}
	return q.change(func(r *row) error {
		r.Name, r.Settings = name, settings
		return nil
	})
}

// Delete removes the queue with all its messages, at once and for good.
func (q *Queue) Delete() error {
	s := q.store
	s.mu.Lock()
	defer s.mu.Unlock()
	err := q.update(func(t *tx) error {
		t.clear()
		t.deleted = true
		t.b.Delete(append([]byte{keyed.SpaceQueue, rowQueue}, q.id...))
		t.b.Delete(numberRow(rowCounts, q.number))
		return nil
	})
	if err != nil {
		return err
	}
	delete(s.byID, q.id)
	delete(s.byName, q.row.Name)
	s.tell()
	return nil
}

// Purge deletes all messages. What is in a consumer's hands is not delivered
// again.
func (q *Queue) Purge() error {
	err := q.update(func(t *tx) error {
		t.clear()
		return nil
	})
	if err != nil {
		return err
	}
	return q.change(func(r *row) error {
		r.Purged = q.store.now().UTC()
		return nil
	})
}

// tell says that a queue was configured anew.
func (s *Store) tell() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}
