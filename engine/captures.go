package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/storage/capture"
)

const (
	// captureEvery is how often objects that have changed are captured.
	captureEvery = time.Minute
	// captureShare bounds what captures take of one processor, and of the disk: a
	// part in so many, together and of each object. So a large object that is
	// always written is captured less often.
	captureShare = 20
	// coldAfter is how long something is remembered of an object that nobody uses.
	coldAfter = 10 * time.Minute
	// sweepEvery is how often the histories of classes that are gone are looked
	// for, and how long a class must have been gone.
	sweepEvery = time.Hour
	// lastCaptures bounds the time for captures when the server stops; the next
	// start makes the others.
	lastCaptures = 5 * time.Second
)

// begin captures what has changed in the cells that have objects, unless that is
// going on.
func (r *recovery) begin(now time.Time, cells []*cell) {
	if !r.busy.CompareAndSwap(false, true) {
		return
	}
	r.e.loops.Go(func() {
		defer r.busy.Store(false)
		for _, c := range cells {
			if c.home() {
				r.captureAll(r.e.ctx, c.version)
			}
		}
		r.cool(now)
		if now.Sub(r.swept) >= sweepEvery {
			r.swept = now
			r.sweep(now)
		}
	})
}

// captureAll captures the objects of a version that have changed.
func (r *recovery) captureAll(ctx context.Context, v *config.Version) {
	for _, c := range v.Classes {
		if !c.SQLite {
			continue
		}
		names, err := objectsIn(filepath.Join(r.e.objectsDir(v.Worker), c.Key))
		if err != nil {
			r.e.o.Logger.Warn("Durable Objects cannot be listed; their states are not kept", "worker", v.Worker, "class", c.Name, "err", err)
			continue
		}
		for _, id := range names {
			if o := (objectID{key: c.Key, id: id}); o.belongs() {
				r.captureOne(ctx, v.Worker, o)
			}
			if ctx.Err() != nil {
				return
			}
		}
	}
}

// objectsIn lists the ids of the objects in the folder of a class.
func objectsIn(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var ids []string
	for _, e := range entries {
		if id, ok := strings.CutSuffix(e.Name(), ".sqlite"); ok && len(id) == 64 {
			ids = append(ids, id)
		}
	}
	return ids, err
}

// captureOne captures an object if it has changed, and then rests for a while.
func (r *recovery) captureOne(ctx context.Context, worker string, o objectID) {
	began, now := time.Now(), r.e.o.clock.now()
	err := r.captureHeld(ctx, worker, o, now)
	took := time.Since(began)
	if err != nil && !errors.Is(err, capture.ErrBusy) && ctx.Err() == nil {
		r.e.o.Logger.Warn("a state of a Durable Object is not kept", "worker", worker, "object", o.id, "err", err)
	}
	select {
	case <-r.e.ctx.Done():
	case <-time.After(took * (captureShare - 1)):
	}
}

func (r *recovery) captureHeld(ctx context.Context, worker string, o objectID, now time.Time) error {
	defer r.hold(o.key, false)()
	r.mu.Lock()
	x, known := r.objects[o]
	early := known && now.Before(x.next)
	r.mu.Unlock()
	if early {
		return nil
	}
	changed := r.history(worker, o).Changed()
	if !changed && !known {
		return nil
	}
	var err error
	began := time.Now()
	if changed {
		x = r.object(worker, o)
		_, err = x.history.Capture(ctx, capture.How{})
	}
	if err == nil {
		err = x.history.Trim()
	}
	next := now.Add(time.Since(began) * captureShare)
	if errors.Is(err, capture.ErrTooLarge) {
		next = now.Add(sweepEvery)
	}
	r.mu.Lock()
	x.next = next
	r.mu.Unlock()
	return err
}

// cool forgets objects that nobody uses.
func (r *recovery) cool(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for o, x := range r.objects {
		if now.Sub(x.used) > coldAfter && now.After(x.next) && x.mu.TryLock() {
			delete(r.objects, o)
			x.mu.Unlock()
		}
	}
}

// sweep deletes the histories of classes that no Worker has had for sweepEvery.
func (r *recovery) sweep(now time.Time) {
	folders, err := os.ReadDir(filepath.Join(r.e.o.Dir, historyFolder))
	if err != nil {
		return // there is none
	}
	keys := map[string]bool{}
	for _, w := range r.e.o.Source.Current().Workers {
		for _, v := range versions(w) {
			for _, c := range v.Classes {
				keys[c.Key] = true
			}
		}
	}
	for _, f := range folders {
		key := f.Name()
		since, gone := r.absent[key]
		switch {
		case keys[key]:
			delete(r.absent, key)
		case !gone:
			r.absent[key] = now
		case now.Sub(since) >= sweepEvery:
			release := r.hold(key, true)
			err := os.RemoveAll(r.folder(key))
			release()
			delete(r.absent, key)
			r.e.o.Logger.Info("the history of a class of Durable Objects that is gone has been deleted", "key", key, "err", err)
		}
	}
}

// ended captures what the cell has left, while the next one may be running.
func (r *recovery) ended(v *config.Version) {
	ctx, cancel := r.e.ctx, func() {}
	if ctx.Err() != nil {
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), lastCaptures)
	}
	defer cancel()
	r.captureAll(ctx, v)
}
