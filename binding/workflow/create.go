package workflow

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/uuid"
)

// Create says what an instance is created with.
type Create struct {
	// ID of the instance. Nil: a UUID is made.
	ID *string
	// Params are what the function gets as its event's payload.
	Params Value
	// SuccessRetention and ErrorRetention are how long the instance is kept when it
	// has ended, in ms. 0: as the Workflow says.
	SuccessRetention, ErrorRetention int64

	trigger   string
	cron      string
	scheduled int64
}

// Create creates an instance, which runs as soon as there is room for it, and
// returns its id. The error is ErrExists if there is one with that id.
func (w *Workflow) Create(ctx context.Context, c Create) (id string, err error) {
	made, err := w.create(ctx, []Create{c})
	if err != nil {
		return "", err
	}
	if made[0].err != nil {
		return "", made[0].err
	}
	return made[0].id, nil
}

// CreateBatch creates up to MaxBatch instances and returns the ids of those that
// it made: one that exists is left alone.
func (w *Workflow) CreateBatch(ctx context.Context, list []Create) (ids []string, err error) {
	made, err := w.create(ctx, list)
	for _, m := range made {
		if m.err == nil {
			ids = append(ids, m.id)
		}
	}
	return ids, err
}

// made is what became of an entry of a batch.
type made struct {
	id  string
	err error // errTwice or one that is ErrExists
}

// errTwice is the error of an instance whose id is in the batch already.
var errTwice = &Error{409, 10415, "WorkflowError: (instance.duplicate_in_batch) Workflow instance is in the batch twice", "workflows.api.error.instance.duplicate_in_batch"}

// maxCommit is how many bytes of instances are committed at once.
const maxCommit = 4 << 20

func (w *Workflow) create(ctx context.Context, list []Create) ([]made, error) {
	result := make([]made, len(list))
	for i, c := range list {
		result[i].id = uuid.NewString()
		if c.ID != nil {
			result[i].id = *c.ID
		}
		if !validID(result[i].id) {
			return nil, ErrInvalidID
		}
		if len(c.Params) > MaxValueBytes {
			return nil, refuse(413, 10406, "instance.params_too_large", "Parameters have %d bytes, more than the maximum of %d", len(c.Params), MaxValueBytes)
		}
	}
	settings, version := w.setup()
	w.creating.RLock()
	defer w.creating.RUnlock()
	if w.gone {
		return nil, ErrNoWorkflow
	}
	seen := map[string]bool{}
	for at := 0; at < len(list); {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n, err := w.createSome(list[at:], result[at:], seen, settings, version)
		if err != nil {
			return nil, err
		}
		at += n
	}
	return result, nil
}

// createSome creates as many instances as fit into one commit.
func (w *Workflow) createSome(list []Create, result []made, seen map[string]bool, settings Settings, version string) (n int, err error) {
	s := w.store
	b := s.db.Batch()
	defer b.Close()
	var ids []string
	w.mu.Lock()
	locked := true
	defer func() {
		if !locked {
			w.mu.Lock()
		}
		for _, id := range ids {
			delete(w.coming, id)
		}
		w.mu.Unlock()
	}()
	now, grown := s.millis(), int64(0)
	for n < len(list) && b.Size() < maxCommit {
		c, m := list[n], &result[n]
		n++
		if seen[m.id] {
			m.err = errTwice
			continue
		}
		seen[m.id] = true
		if _, err := w.find(m.id); err == nil || w.coming[m.id] {
			m.err = exists(m.id)
			continue
		} else if !errors.Is(err, ErrNoInstance) {
			return n, err
		}
		w.coming[m.id] = true
		ids = append(ids, m.id)
		w.latest++
		in := &instance{w: w, number: w.latest}
		if err := s.grow(instanceBytes + int64(len(c.Params))); err != nil {
			s.count(-grown)
			return n, err
		}
		grown += instanceBytes + int64(len(c.Params))
		r := record{ID: m.id, Bytes: int64(len(c.Params)), Status: Queued, Created: now, Queued: now, Due: now, Trigger: c.trigger, Cron: c.cron, Scheduled: c.scheduled, Version: version, Retention: settings.keep(c)}
		in.note(b, note{Type: noteQueued})
		in.stage(b, &r)
		b.Set(idKey(w.number, m.id), binary.BigEndian.AppendUint64(nil, in.number))
		setValue(b, w.number, in.number, paramsPlace, c.Params)
	}
	w.mu.Unlock()
	locked = false
	if len(ids) == 0 {
		return n, nil
	}
	if err := b.Commit(); err != nil {
		s.count(-grown)
		return n, fmt.Errorf("create instances of Workflow %s: %w", w.name, err)
	}
	w.kick(now)
	return n, nil
}
