package s3

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/selvage-edge/selvage/binding/r2"
	"github.com/selvage-edge/selvage/edge/http1"
	"github.com/selvage-edge/selvage/s3/sigv4"
)

// Error is a refusal as clients see it.
type Error struct {
	// Status is the HTTP status.
	Status int
	// Code is S3's: "NoSuchKey".
	Code string
	// Message is a sentence for people.
	Message string
	// header goes with the answer; may be nil.
	header http.Header
}

// Error implements error.
func (e *Error) Error() string { return e.Code + ": " + e.Message }

func refuse(status int, code, format string, args ...any) *Error {
	return &Error{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

func badRequest(code, format string, args ...any) *Error {
	return refuse(http.StatusBadRequest, code, format, args...)
}

func invalidArgument(format string, args ...any) *Error {
	return badRequest("InvalidArgument", format, args...)
}

// notImplemented is in the words of R2.
func notImplemented(what string) *Error {
	return refuse(http.StatusNotImplemented, "NotImplemented", "%s not implemented", what)
}

var (
	errAccessDenied  = refuse(http.StatusForbidden, "AccessDenied", "Access Denied")
	errMethod        = refuse(http.StatusMethodNotAllowed, "MethodNotAllowed", "The specified method is not allowed against this resource.")
	errURI           = badRequest("InvalidURI", "Couldn't parse the specified URI.")
	errKeyTooLong    = badRequest("KeyTooLongError", "Your key is too long: it may have %d bytes.", r2.MaxKeyBytes)
	errNoLength      = refuse(http.StatusLengthRequired, "MissingContentLength", "You must provide the Content-Length HTTP header.")
	errIncomplete    = badRequest("IncompleteBody", "The request body terminated unexpectedly")
	errStalled       = badRequest("RequestTimeout", "Your socket connection to the server was not read from or written to within the timeout period.")
	errInvalidDigest = badRequest("InvalidDigest", "The Content-MD5 you specified is not valid.")
	errMalformedXML  = badRequest("MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema.")
	errPrecondition  = refuse(http.StatusPreconditionFailed, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
	errInternal      = refuse(http.StatusInternalServerError, "InternalError", "We encountered an internal error. Please try again.")
)

// codes are S3's names of the store's errors, and the status if it is another.
//
// Source: https://developers.cloudflare.com/r2/api/error-codes/
var codes = map[int]struct {
	code   string
	status int
}{
	r2.ErrBucketExists.Code:       {"BucketAlreadyOwnedByYou", 0},
	r2.ErrBucketName.Code:         {"InvalidBucketName", 0},
	r2.ErrNoSuchBucket.Code:       {"NoSuchBucket", 0},
	r2.ErrNoSuchKey.Code:          {"NoSuchKey", 0},
	r2.ErrBucketNotEmpty.Code:     {"BucketNotEmpty", 0},
	r2.ErrPartTooSmall.Code:       {"EntityTooSmall", 0},
	r2.ErrMetadataTooLarge.Code:   {"MetadataTooLarge", 0},
	r2.ErrObjectName.Code:         {"InvalidObjectName", 0},
	r2.ErrLimit.Code:              {"InvalidMaxKeys", 0},
	r2.ErrNoSuchUpload.Code:       {"NoSuchUpload", http.StatusNotFound},
	r2.ErrInvalidPart.Code:        {"InvalidPart", 0},
	r2.ErrInvalidArgument.Code:    {"InvalidArgument", 0},
	r2.ErrPreconditionFailed.Code: {"PreconditionFailed", 0},
	r2.ErrBadDigest.Code:          {"BadDigest", 0},
	r2.ErrInvalidRange.Code:       {"InvalidRange", 0},
	r2.ErrBadUpload.Code:          {"InvalidPart", http.StatusBadRequest},
	r2.ErrNoCORS.Code:             {"NoSuchCORSConfiguration", 0},
	r2.ErrTooManyRequests.Code:    {"TooManyRequests", 0},
	r2.ErrTooLarge.Code:           {"EntityTooLarge", 0},
	r2.ErrUnavailable.Code:        {"ServiceUnavailable", 0},
	r2.ErrLocked.Code:             {"ObjectLockedByBucketPolicy", 0},
	10003:                         {"AccessDenied", 0}, // another SSE-C key
	10001:                         {"QuotaExceeded", http.StatusInsufficientStorage},
}

// classify finds what clients are told of an error; nil if the client has gone.
func classify(ctx context.Context, err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	if e, ok := errors.AsType[*sigv4.Error](err); ok {
		return &Error{Status: e.Status, Code: e.Code, Message: e.Message}
	}
	if refusal, ok := errors.AsType[*r2.Error](err); ok {
		c := codes[refusal.Code]
		e := &Error{Status: cmp.Or(c.status, refusal.Status), Code: cmp.Or(c.code, "InvalidRequest"), Message: refusal.Text}
		if errors.Is(refusal, r2.ErrBadUpload) {
			e.Message = "All non-trailing parts must have the same length."
		}
		return e
	}
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errIncomplete
	case errors.Is(err, http1.ErrStalled):
		return errStalled
	case ctx.Err() != nil:
		return nil
	}
	return errInternal
}

// render writes the answer to a request that failed.
func (e *Error) render(w http.ResponseWriter, r *http.Request, requestID string) {
	h := w.Header()
	for name, values := range e.header {
		h[name] = values
	}
	if e.Status == http.StatusNotModified {
		w.WriteHeader(e.Status)
		return
	}
	for _, name := range []string{"Content-Encoding", "Content-Disposition", "Content-Language", "Cache-Control", "Expires", "Accept-Ranges"} {
		h.Del(name) // of the object that was meant to be sent
	}
	d := &document{}
	d.b = append(d.b, `<?xml version="1.0" encoding="UTF-8"?>`+"\n"...)
	d.begin("Error")
	d.text("Code", e.Code)
	d.text("Message", e.Message)
	d.text("Resource", r.URL.Path)
	d.text("RequestId", requestID)
	d.text("HostId", hostID)
	d.end("Error")
	h.Set("Content-Type", "application/xml")
	h.Set("Content-Length", strconv.Itoa(len(d.b)))
	w.WriteHeader(e.Status)
	if r.Method != http.MethodHead {
		w.Write(d.b) // fails only when the client has gone
	}
}
