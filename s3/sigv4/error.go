package sigv4

import (
	"errors"
	"fmt"
	"net/http"
)

// Error is why a request is refused, in the words of S3.
//
// Source: Amazon S3 API Reference, "Error responses"
type Error struct {
	// Code is S3's, such as SignatureDoesNotMatch.
	Code string
	// Message is a sentence for the client. It tells nothing about the secret.
	Message string
	// Status is that of the response.
	Status int
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

var (
	// ErrAnonymous: the request has no signature at all.
	ErrAnonymous = &Error{"AccessDenied", "The request has no signature; sign it with an access key (AWS Signature Version 4).", http.StatusForbidden}
	// ErrNoKey is what Verifier.Secret returns for a key that does not exist.
	ErrNoKey = errors.New("no such access key")
)

// malformed is the error of credentials that cannot be read.
func (c *claim) malformed(format string, args ...any) *Error {
	code := "AuthorizationHeaderMalformed"
	if c.presigned {
		code = "AuthorizationQueryParametersError"
	}
	return &Error{code, fmt.Sprintf(format, args...), http.StatusBadRequest}
}

func denied(message string) *Error { return &Error{"AccessDenied", message, http.StatusForbidden} }

func invalidArgument(message string) *Error {
	return &Error{"InvalidArgument", message, http.StatusBadRequest}
}

func incomplete(format string, args ...any) *Error {
	return &Error{"IncompleteBody", fmt.Sprintf(format, args...), http.StatusBadRequest}
}

func badTrailer(format string, args ...any) *Error {
	return &Error{"MalformedTrailerError", fmt.Sprintf(format, args...), http.StatusBadRequest}
}

var (
	errMismatch = &Error{"SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided. Check your secret access key and signing method.", http.StatusForbidden}
	errDigest   = &Error{"XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed.", http.StatusBadRequest}
)
