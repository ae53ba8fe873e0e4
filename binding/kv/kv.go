// Package kv is Workers KV: namespaces of values by key, with metadata and
// expiration.
//
// # Promises
//
//   - Durable when acknowledged: a put or delete that has returned survives
//     kill -9 and power loss.
//   - Read your writes, everywhere: unlike Cloudflare's KV there is one copy, so
//     a value is visible to every Worker as soon as its put has returned.
//     cacheTtl is checked and has no further effect.
//   - Last put wins. A put of one key is atomic with its metadata and expiration;
//     the bulk operations are not atomic as a whole, as on Cloudflare.
//   - A key is gone at the second it expires, for reads and lists alike. Its
//     storage is reclaimed in the background.
//
// # Limits
//
// Those of https://developers.cloudflare.com/kv/platform/limits/; see the
// constants. There is no limit on the number of keys, namespaces or writes per
// second. Values over [InlineBytes] are kept as files.
//
// Source: https://developers.cloudflare.com/kv/api/
package kv

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"
)

// Cloudflare's limits.
const (
	// MaxKeyBytes is the longest key, in bytes of UTF-8.
	MaxKeyBytes = 512
	// MaxValueBytes is the largest value.
	MaxValueBytes = 25 << 20
	// MaxMetadataBytes is the largest metadata, as JSON text.
	MaxMetadataBytes = 1024
	// MinTTL is the shortest time to live.
	MinTTL = 60 * time.Second
	// MinCacheTTL is the shortest cacheTtl.
	MinCacheTTL = 30 * time.Second
	// MaxListKeys is the largest page of a list and the default.
	MaxListKeys = 1000
	// MaxBulkGetKeys is the number of keys of one bulk get.
	MaxBulkGetKeys = 100
	// MaxBulkGetBytes bounds the values of one bulk get together.
	MaxBulkGetBytes = 25 << 20
	// MaxBulkWriteKeys is the number of keys of one bulk put or delete.
	MaxBulkWriteKeys = 10_000
)

// InlineBytes is the largest value that is kept beside its key; larger ones
// are files.
const InlineBytes = 64 << 10

// The errors that callers act on. Match them with errors.Is.
var (
	// ErrNotFound: the key has no value, or it has expired.
	ErrNotFound = errors.New("key not found")
	// ErrNamespaceNotFound: there is no such namespace, or it has been deleted.
	ErrNamespaceNotFound = errors.New("namespace not found")
	// ErrTitleTaken: another namespace has the title.
	ErrTitleTaken = errors.New("a namespace with this account ID and title already exists")
	// ErrIDTaken: there is a namespace with the id.
	ErrIDTaken = errors.New("a namespace with this id already exists")
)

// Error is a refusal: the caller asked for something KV does not allow.
type Error struct {
	// Status is the HTTP status that Cloudflare answers: 400, 413 or 414.
	Status int
	// Text is Cloudflare's sentence for it.
	Text string
}

// Error implements error.
func (e *Error) Error() string { return e.Text }

func refuse(status int, format string, args ...any) *Error {
	return &Error{Status: status, Text: fmt.Sprintf(format, args...)}
}

// PutOptions go with a value. The zero value keeps it for ever, without
// metadata.
type PutOptions struct {
	// Expiration is when the key expires, in whole seconds; at least MinTTL
	// from now. The zero time means never.
	Expiration time.Time
	// ExpirationTTL is the time until the key expires, at least MinTTL. It wins
	// over Expiration. Zero means unset.
	ExpirationTTL time.Duration
	// Metadata is JSON of up to MaxMetadataBytes; empty means none.
	Metadata json.RawMessage
}

// expiry checks the options and gives the second of expiration, 0 for never.
func (o PutOptions) expiry(now int64) (int64, error) {
	least := int64(MinTTL / time.Second)
	switch {
	case o.ExpirationTTL != 0:
		ttl := int64(o.ExpirationTTL / time.Second)
		if o.ExpirationTTL < 0 {
			return 0, refuseTTL(strconv.FormatInt(ttl, 10))
		}
		if ttl < least {
			return 0, refuse(http.StatusBadRequest, "Invalid expiration_ttl of %d. Expiration TTL must be at least %d.", ttl, least)
		}
		return now + ttl, nil
	case !o.Expiration.IsZero():
		at := o.Expiration.Unix()
		if at <= now {
			return 0, refuseExpiration(strconv.FormatInt(at, 10))
		}
		if at < now+least {
			return 0, refuse(http.StatusBadRequest, "Invalid expiration of %d. Expiration times must be at least %d seconds in the future.", at, least)
		}
		return at, nil
	}
	return 0, nil
}

func refuseTTL(raw string) error {
	return refuse(http.StatusBadRequest, "Invalid expiration_ttl of %s. Please specify integer greater than 0.", raw)
}

func refuseExpiration(raw string) error {
	return refuse(http.StatusBadRequest, "Invalid expiration of %s. Please specify integer greater than the current number of seconds since the UNIX epoch.", raw)
}

// maxSeconds keeps times and durations far from overflow: about 290 years.
const maxSeconds = int64(1<<63-1) / int64(time.Second)

// parseExpiry reads the parameters expiration and expiration_ttl as they come
// in a URL; an empty one is unset.
func (o *PutOptions) parseExpiry(expiration, ttl string) error {
	switch {
	case ttl != "":
		n, ok := leadingInt(ttl)
		if !ok || n <= 0 {
			return refuseTTL(ttl)
		}
		o.ExpirationTTL = time.Duration(min(n, maxSeconds)) * time.Second
	case expiration != "":
		n, ok := leadingInt(expiration)
		if !ok || n <= 0 {
			return refuseExpiration(expiration)
		}
		o.Expiration = time.Unix(n, 0)
	}
	return nil
}

// leadingInt reads a number as JavaScript's parseInt does: what follows the
// digits is ignored. Larger numbers than make sense as seconds are cut.
func leadingInt(s string) (n int64, ok bool) {
	negative := s != "" && s[0] == '-'
	if negative {
		s = s[1:]
	}
	for i := 0; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
		ok = true
		if n < 1<<50 {
			n = n*10 + int64(s[i]-'0')
		}
	}
	if negative {
		n = -n
	}
	return n, ok
}

// metadata checks the metadata and returns it on one line, as it must be to
// travel in a header.
func (o PutOptions) metadata() (json.RawMessage, error) {
	m := o.Metadata
	if len(m) == 0 {
		return nil, nil
	}
	if len(m) > MaxMetadataBytes {
		return nil, refuse(http.StatusRequestEntityTooLarge, "Metadata length of %d exceeds limit of %d.", len(m), MaxMetadataBytes)
	}
	if !json.Valid(m) || !utf8.Valid(m) {
		return nil, refuse(http.StatusBadRequest, "Metadata must be valid JSON.")
	}
	for _, b := range m {
		if b < ' ' {
			return compact(m), nil
		}
	}
	return m, nil
}

func checkKey(key string) error {
	switch {
	case key == "":
		return refuse(http.StatusBadRequest, "Key names must not be empty")
	case key == "." || key == "..":
		return refuse(http.StatusBadRequest, "Illegal key name %q. Please use a different name.", key)
	case !utf8.ValidString(key):
		return refuse(http.StatusBadRequest, "Could not URL-decode key name")
	}
	return checkKeyLength(key)
}

func checkKeyLength(key string) error {
	if len(key) > MaxKeyBytes {
		return refuse(http.StatusRequestURITooLong, "UTF-8 encoded length of %d exceeds key length limit of %d.", len(key), MaxKeyBytes)
	}
	return nil
}

// checkCacheTTL checks a cacheTtl in seconds.
func checkCacheTTL(raw string) error {
	n, ok := leadingInt(raw)
	if !ok {
		raw = "NaN"
	}
	if !ok || n < int64(MinCacheTTL/time.Second) {
		return refuse(http.StatusBadRequest, "Invalid cache_ttl of %s. Cache TTL must be at least %d.", raw, MinCacheTTL/time.Second)
	}
	return nil
}

func refuseValue(n int64) error {
	return refuse(http.StatusRequestEntityTooLarge, "Value length of %d exceeds limit of %d.", n, MaxValueBytes)
}
