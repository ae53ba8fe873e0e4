package kv

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/selvage-edge/selvage/storage/blob"
)

// sweepRows bounds how many expired keys are removed while writers wait.
const sweepRows = 256

// reclaim is the background: it ends with ctx.
func (s *Store) reclaim(ctx context.Context, interval time.Duration) {
	expiry := time.NewTicker(interval)
	defer expiry.Stop()
	for {
		task := s.Sweep
		select {
		case <-ctx.Done():
			return
		case <-expiry.C:
		case <-s.unreferenced:
			task = s.forget
		}
		if _, err := task(ctx); err != nil && !errors.Is(err, context.Canceled) {
			s.log.Error("reclaiming storage failed; it is tried again later", "error", err)
		}
	}
}

// Sweep reclaims the storage of expired keys and returns their number. It runs
// by itself every Options.SweepInterval.
func (s *Store) Sweep(ctx context.Context) (removed int, err error) {
	for {
		n, more, err := s.sweepOnce(ctx)
		removed += n
		if err != nil || !more {
			return removed, err
		}
	}
}

// sweepOnce removes up to sweepRows expired keys. Writers wait meanwhile, so
// that none of them revives a key between the look at it and its removal. The
// removal need not be durable: a crash makes it happen again.
func (s *Store) sweepOnce(ctx context.Context) (removed int, more bool, err error) {
	if err := ctx.Err(); err != nil {
		return 0, false, err
	}
	now := s.second()
	var due [][]byte
	err = s.db.Scan(row(rowExpiry), expiryRow(now+1, 0, ""), func(k, _ []byte) bool {
		due = append(due, append([]byte(nil), k...))
		return len(due) < sweepRows
	})
	if err != nil || len(due) == 0 {
		return 0, false, err
	}
	b := s.db.Batch()
	defer b.Close()
	var dropped []*blob.Digest
	var grown int64
	s.commits.Lock()
	defer func() {
		s.commits.Unlock()
		for _, d := range dropped {
			s.discard(d)
		}
	}()
	for _, k := range due {
		b.Delete(k)
		number, key := binary.BigEndian.Uint64(k[10:18]), k[18:]
		target := valueRow(nil, number, string(key))
		v, found, err := s.db.Get(target)
		if err != nil {
			return 0, false, fmt.Errorf("sweep expired keys: %w", err)
		}
		if !found {
			continue
		}
		r, err := decodeRecord(v.Bytes)
		v.Release()
		if err != nil || !r.expired(now) {
			continue // the row is stale: the key has been put again
		}
		d, err := s.stage(b, number, target, nil, 0, nil, &grown)
		if err != nil {
			return 0, false, fmt.Errorf("sweep expired keys: %w", err)
		}
		dropped = append(dropped, d)
		removed++
	}
	return removed, len(due) == sweepRows, b.CommitUnsynced()
}

// forget reclaims what a deleted namespace had.
func (s *Store) forget(ctx context.Context) (int, error) {
	if s.quota.counts() {
		if _, err := s.Measure(ctx); err != nil {
			return 0, err
		}
	}
	return s.SweepBlobs(ctx)
}

// SweepBlobs deletes every blob that no key refers to and returns their number.
// It runs by itself after a namespace was deleted. Otherwise blobs are deleted
// with the value they belong to.
func (s *Store) SweepBlobs(ctx context.Context) (removed int, err error) {
	return s.blobs.Sweep(ctx, s.refers)
}
