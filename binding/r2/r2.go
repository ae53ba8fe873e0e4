// Package r2 is R2: buckets of objects by key, with metadata, checksums,
// conditions and uploads in parts.
//
// # Promises
//
//   - Durable when acknowledged: a put, a delete, a part or a completed upload
//     that has returned survives kill -9 and power loss.
//   - Whole or absent: an object is replaced at one moment, with its metadata. A
//     reader gets the old content or the new one to its end, never a mixture,
//     whatever happens to the key meanwhile.
//   - Read your writes, and list them, as on Cloudflare.
//   - Conditions are tested and the write is made while no other write of the
//     key can come between.
//   - What was stored is what is read: the digest of the content is checked by
//     [Store.Scrub], and when an object is read from its beginning to its end, but
//     for files that the kernel sends; see [blob.Reader.SendTo].
//   - Content that nothing refers to is deleted; nothing else ever is.
//   - Memory use does not depend on the size of an object.
//
// An object stored with a key of the customer (SSE-C) is encrypted on the disk;
// the customer's key is not stored.
//
// # Limits
//
// Those of https://developers.cloudflare.com/r2/platform/limits/; see the
// constants. There is no limit on buckets, objects or requests per second.
//
// Source: https://developers.cloudflare.com/r2/api/workers/workers-api-reference/
package r2

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// Cloudflare's limits.
const (
	// MaxKeyBytes is the longest key, in bytes of UTF-8.
	MaxKeyBytes = 1024
	// MaxMetadataBytes bounds the names and values of custom metadata together.
	MaxMetadataBytes = 8192
	// MaxPutBytes is the largest object of one put, and the largest part.
	MaxPutBytes = 5<<30 - 5<<20
	// MaxParts is the largest part number of an upload.
	MaxParts = 10_000
	// MinPartBytes is the smallest part of an upload that is not its last.
	MinPartBytes = 5 << 20
	// MaxListKeys is the largest page of a list and the default.
	MaxListKeys = 1000
	// MaxListKeysWithMetadata is the same for lists that include metadata.
	MaxListKeysWithMetadata = 100
	// MaxDeleteKeys is the number of keys of one delete.
	MaxDeleteKeys = 1000
	// UploadLifetime is how long an upload may stay incomplete, unless the bucket has
	// lifecycle rules.
	UploadLifetime = 7 * 24 * time.Hour
)

// InlineBytes is the largest content that is kept beside its key; larger ones are
// files.
const InlineBytes = 32 << 10

// The storage classes. The class is recorded and changes nothing else.
const (
	Standard         = "Standard"
	InfrequentAccess = "InfrequentAccess"
)

// Error is a refusal, or that something is not there.
type Error struct {
	// Status is the HTTP status.
	Status int
	// Code is Cloudflare's.
	Code int
	// Text is Cloudflare's sentence.
	Text string
}

// Error implements error.
func (e *Error) Error() string { return e.Text }

// Is makes errors.Is compare codes: the text of some errors has details.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// The errors, for errors.Is.
//
// Source: https://developers.cloudflare.com/r2/api/error-codes/
var (
	ErrBucketExists       = &Error{http.StatusConflict, 10004, "The bucket you tried to create already exists, and you own it."}
	ErrBucketName         = &Error{http.StatusBadRequest, 10005, "The specified bucket name is not valid."}
	ErrNoSuchBucket       = &Error{http.StatusNotFound, 10006, "The specified bucket does not exist."}
	ErrNoSuchKey          = &Error{http.StatusNotFound, 10007, "The specified key does not exist."}
	ErrBucketNotEmpty     = &Error{http.StatusConflict, 10008, "The bucket you tried to delete is not empty."}
	ErrPartTooSmall       = &Error{http.StatusBadRequest, 10011, "Your proposed upload is smaller than the minimum allowed object size."}
	ErrMetadataTooLarge   = &Error{http.StatusBadRequest, 10012, "Your metadata headers exceed the maximum allowed metadata size."}
	ErrObjectName         = &Error{http.StatusBadRequest, 10020, "The specified object name is not valid."}
	ErrLimit              = &Error{http.StatusBadRequest, 10022, "MaxKeys params must be positive integer <= 1000."}
	ErrNoSuchUpload       = &Error{http.StatusBadRequest, 10024, "The specified multipart upload does not exist."}
	ErrInvalidPart        = &Error{http.StatusBadRequest, 10025, "One or more of the specified parts could not be found."}
	ErrInvalidArgument    = &Error{http.StatusBadRequest, 10029, "An argument of the request is not valid."}
	ErrPreconditionFailed = &Error{http.StatusPreconditionFailed, 10031, "At least one of the pre-conditions you specified did not hold."}
	ErrBadDigest          = &Error{http.StatusBadRequest, 10037, "A checksum you specified did not match what we received."}
	ErrInvalidRange       = &Error{http.StatusRequestedRangeNotSatisfiable, 10039, "The requested range is not satisfiable"}
	ErrUnavailable        = &Error{http.StatusServiceUnavailable, 10043, "The service is not available. Please try again."}
	ErrBadUpload          = &Error{http.StatusInternalServerError, 10048, "There was a problem with the multipart upload."}
	ErrTooManyRequests    = &Error{http.StatusTooManyRequests, 10058, "Reduce your rate of requests: the memory for calls of this Worker is in use."}
	ErrTooLarge           = &Error{http.StatusBadRequest, 100100, "Your proposed upload exceeds the maximum allowed object size."}
)

// errInternal is what clients are told of anything else.
var errInternal = &Error{http.StatusInternalServerError, 10001, "We encountered an internal error. Please try again."}

func invalid(format string, args ...any) *Error {
	return &Error{http.StatusBadRequest, ErrInvalidArgument.Code, fmt.Sprintf(format, args...)}
}

// HTTPMetadata are the headers that an object is served with. An empty field is
// none.
type HTTPMetadata struct {
	ContentType        string `json:"contentType,omitempty"`
	ContentLanguage    string `json:"contentLanguage,omitempty"`
	ContentDisposition string `json:"contentDisposition,omitempty"`
	ContentEncoding    string `json:"contentEncoding,omitempty"`
	CacheControl       string `json:"cacheControl,omitempty"`
	// CacheExpiry is the header Expires, in milliseconds since 1970; nil for none.
	CacheExpiry *int64 `json:"cacheExpiry,omitempty"`
}

// Object describes an object.
type Object struct {
	Key string
	// Version is new with every put: 32 hexadecimal digits.
	Version string
	// Size of the content in bytes.
	Size int64
	// ETag is the content's MD5 in hexadecimal; for an object of n parts the MD5 of
	// their MD5s, followed by "-n". It has no quotes.
	ETag string
	// Uploaded is when the object was stored, in whole milliseconds.
	Uploaded time.Time
	HTTP     HTTPMetadata
	Custom   map[string]string
	// Checksums are those that the object was stored with, and for an object that
	// was put as a whole its MD5.
	Checksums Checksums
	// PartSums has at most one checksum: that of the checksums of the parts, for an
	// object that was uploaded in parts and whose upload asked for it.
	PartSums Checksums
	// StorageClass is Standard or InfrequentAccess.
	StorageClass string
	// SSECKeyMD5 is the MD5, in hexadecimal, of the key that the object is encrypted
	// with; empty if it is not.
	SSECKeyMD5 string

	content contentID
	// parts is whether the content is that of an upload in parts.
	parts bool
}

// PutOptions go with an object. The zero value stores bytes and nothing else.
type PutOptions struct {
	HTTP   HTTPMetadata
	Custom map[string]string
	// StorageClass is Standard if empty.
	StorageClass string
	// OnlyIf must hold for the object that is there, or for none.
	OnlyIf *Conditional
	// Checksums are compared with those of the content, and stored. One that is
	// empty but not nil is computed and stored.
	Checksums Checksums
	// Trailing gives checksums that come behind the content, which are compared like
	// those of Checksums; it is called once the content has been read. What it gives
	// must be among Checksums. Nil: there are none.
	Trailing func() (Checksums, error)
	// SSECKey of 32 bytes encrypts the object. Nil: it is not encrypted.
	SSECKey []byte
	// CopySource is the object that this one is a copy of, for event notifications.
	// Nil: it is none.
	CopySource *CopySource
}

// check is everything that can be said before the content has been read.
func (o *PutOptions) check(key string) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	size := 0
	for k, v := range o.Custom {
		size += storedLength(k) + storedLength(v)
	}
	if size > MaxMetadataBytes {
		return ErrMetadataTooLarge
	}
	switch o.StorageClass {
	case "", Standard, InfrequentAccess:
	default:
		return invalid("The storage class %q is not valid: use %s or %s.", o.StorageClass, Standard, InfrequentAccess)
	}
	if err := o.Checksums.check(); err != nil {
		return err
	}
	return checkSSECKey(o.SSECKey)
}

// storedLength counts a string of metadata as Cloudflare does: a byte for each
// character if all are of Latin-1, and two bytes for each unit of UTF-16 if not.
func storedLength(s string) int {
	units, wide := 0, false
	for _, r := range s {
		units += max(1, utf16.RuneLen(r))
		wide = wide || r > 0xff
	}
	if wide {
		return 2 * units
	}
	return units
}

// CheckKey says whether an object may have that key.
func CheckKey(key string) error {
	if key == "" || len(key) > MaxKeyBytes || !utf8.ValidString(key) {
		return ErrObjectName
	}
	return nil
}

var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$`)

// CheckName says whether a bucket may have that name.
func CheckName(name string) error {
	if !bucketName.MatchString(name) {
		return ErrBucketName
	}
	return nil
}

// checkBoundName is CheckName for buckets that a configuration brings along: one
// that is not named yet is called like its binding, in capital letters.
func checkBoundName(name string) error {
	if name == "" || len(name) > 63 || strings.ContainsFunc(name, func(c rune) bool { return c <= ' ' || c > '~' || c == '/' }) {
		return fmt.Errorf("the bucket's name %q must have 1 to 63 characters, none of them a space or a slash", name)
	}
	return nil
}
