// Package analytics is Workers Analytics Engine: data points that Workers write
// and that clients of the REST API ask for by SQL.
//
// # Promises
//
//   - writeDataPoint never waits. A point is taken into memory, and is on disk at
//     most [flushAfter] later: that much is lost by kill -9, nothing by a stop. A
//     point is stored once or not at all.
//   - A query sees every point that was written before it began.
//   - The points of one index value are sampled when there are more than
//     [MaxRate] of them within a flush: each has the same chance to stay, and
//     _sample_interval says how many it stands for, so that
//     SUM(_sample_interval) grouped by index1 is exact.
//   - Memory is bounded. Points that have no room, because the disk does not keep
//     up or is full, are dropped, counted and logged. Queries have two connections
//     to the file, with a bound on the time, the memory and the answer of each.
//   - A data set exists once it has a point, and points are kept for three months.
//
// # Queries
//
// parse.go reads Cloudflare's dialect, a part of ClickHouse's. compile.go makes
// of it a statement for SQLite in which all that comes from outside is a
// parameter. functions.go has what SQLite does not have itself.
//
// Source: https://developers.cloudflare.com/analytics/analytics-engine/
package analytics

import (
	"errors"
	"fmt"
	"regexp"
	"time"
)

// Cloudflare's limits.
//
// Source: https://developers.cloudflare.com/analytics/analytics-engine/limits/
const (
	// MaxBlobs and MaxDoubles are those of one point.
	MaxBlobs   = 20
	MaxDoubles = 20
	// MaxBlobBytes bounds the blobs of a point together.
	MaxBlobBytes = 16_000
	// MaxIndexBytes is the length of the index.
	MaxIndexBytes = 96
)

// Our own.
const (
	// MaxRate is how many points of one index value a flush writes.
	MaxRate = 1000
	// flushAfter is how long a point stays in memory.
	flushAfter = time.Second
	// maxPendingBytes and maxPending bound the points in memory.
	maxPendingBytes = 16 << 20
	maxPending      = 50_000
	// maxDatasetChars is the length of a data set's name.
	maxDatasetChars = 128
)

// Retention is how long points are kept, in months.
const Retention = 3

// Point is a data point.
type Point struct {
	// Index is the sampling key.
	Index string
	// Blobs become the columns blob1, blob2, …
	Blobs []string
	// Doubles become the columns double1, double2, …
	Doubles []float64
	// Time is when it was measured, to the second. Zero: now.
	Time time.Time
}

// ErrInvalid: a point is beyond a limit.
var ErrInvalid = errors.New("invalid data point")

// check words the mistakes as the runtime does, which does not tell a Worker in
// JavaScript: such a point is not recorded.
func (p Point) check() error {
	size := 0
	for _, b := range p.Blobs {
		size += len(b)
	}
	switch {
	case len(p.Index) > MaxIndexBytes:
		return fmt.Errorf("%w: Size of indexes[0] exceeds %d bytes", ErrInvalid, MaxIndexBytes)
	case len(p.Blobs) > MaxBlobs:
		return fmt.Errorf("%w: Maximum of %d blobs supported", ErrInvalid, MaxBlobs)
	case len(p.Doubles) > MaxDoubles:
		return fmt.Errorf("%w: Maximum of %d doubles supported", ErrInvalid, MaxDoubles)
	case size > MaxBlobBytes:
		return fmt.Errorf("%w: Cumulative size of blobs exceeds %d bytes", ErrInvalid, MaxBlobBytes)
	}
	return nil
}

// bytes is about what the point takes in memory.
func (p Point) bytes() int {
	n := 200 + len(p.Index) + 8*len(p.Doubles)
	for _, b := range p.Blobs {
		n += 16 + len(b)
	}
	return n
}

var datasetName = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

func checkDataset(name string) error {
	if len(name) > maxDatasetChars || !datasetName.MatchString(name) {
		return fmt.Errorf("the data set %q is not a name of 1 to %d letters, digits, - and _", name, maxDatasetChars)
	}
	return nil
}
