package sigv4

import (
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	terminator = "aws4_request"
	stamp      = "20060102T150405Z"

	// MaxExpiry is how long a presigned URL can be valid.
	MaxExpiry = 7 * 24 * time.Hour
)

// claim is who a request says that it is from, before anything is verified.
type claim struct {
	presigned bool
	keyID     string
	// date, region and service are the scope of the signing key.
	date, region, service string
	// signed are the names of the signed headers: sorted, in lower case.
	signed    []string
	signature []byte
	// at is when the request was signed.
	at time.Time
	// expiry is how long a presigned URL is valid.
	expiry time.Duration
}

func (c *claim) scope() string {
	return c.date + "/" + c.region + "/" + c.service + "/" + terminator
}

// readClaim finds the credentials of a request, in its header or its query.
func readClaim(header http.Header, query []parameter) (*claim, error) {
	authorization := header["Authorization"]
	presigned := slices.ContainsFunc(query, func(p parameter) bool {
		return p.name == "X-Amz-Algorithm" || p.name == "X-Amz-Signature" || p.name == "X-Amz-Credential"
	})
	switch {
	case len(authorization) > 0 && presigned, len(authorization) > 1:
		return nil, invalidArgument("Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter or one Authorization header should be specified.")
	case presigned:
		return readQuery(query)
	case len(authorization) == 1:
		return readHeader(authorization[0], header)
	case slices.ContainsFunc(query, func(p parameter) bool { return p.name == "AWSAccessKeyId" }):
		return nil, errOldSignature
	}
	return nil, ErrAnonymous
}

// errOldSignature is about version 2 and all other schemes.
var errOldSignature = &Error{"InvalidRequest", "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.", http.StatusBadRequest}

func readHeader(authorization string, header http.Header) (*claim, error) {
	scheme, rest, _ := strings.Cut(authorization, " ")
	if scheme != algorithm {
		return nil, errOldSignature
	}
	c := &claim{}
	var credential, signed, signature string
	for field := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		into := map[string]*string{"Credential": &credential, "SignedHeaders": &signed, "Signature": &signature}[name]
		if into == nil || *into != "" || value == "" {
			return nil, c.malformed("The authorization header is malformed; it must have Credential, SignedHeaders and Signature, each once.")
		}
		*into = value
	}
	if err := c.fill(credential, signed, signature); err != nil {
		return nil, err
	}
	var err error
	if date := header.Get("X-Amz-Date"); date != "" {
		c.at, err = time.Parse(stamp, date)
	} else {
		c.at, err = http.ParseTime(header.Get("Date"))
	}
	if err != nil {
		return nil, denied("AWS authentication requires a valid Date or x-amz-date header")
	}
	return c, c.checkDate()
}

func readQuery(query []parameter) (*claim, error) {
	c := &claim{presigned: true}
	values := map[string]string{}
	for _, p := range query {
		if _, twice := values[p.name]; twice && strings.HasPrefix(p.name, "X-Amz-") {
			return nil, c.malformed("The query parameter %s must be given once.", p.name)
		}
		values[p.name] = p.value
	}
	for _, name := range []string{"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-Date", "X-Amz-SignedHeaders", "X-Amz-Expires"} {
		if values[name] == "" {
			return nil, c.malformed("Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters; %s is missing.", name)
		}
	}
	if values["X-Amz-Algorithm"] != algorithm {
		return nil, c.malformed("X-Amz-Algorithm only supports %q.", algorithm)
	}
	if err := c.fill(values["X-Amz-Credential"], values["X-Amz-SignedHeaders"], values["X-Amz-Signature"]); err != nil {
		return nil, err
	}
	var err error
	if c.at, err = time.Parse(stamp, values["X-Amz-Date"]); err != nil {
		return nil, c.malformed("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
	}
	seconds, err := strconv.ParseInt(values["X-Amz-Expires"], 10, 64)
	switch {
	case err != nil:
		return nil, c.malformed("X-Amz-Expires should be a number")
	case seconds < 0:
		return nil, c.malformed("X-Amz-Expires must be non-negative")
	case seconds > int64(MaxExpiry/time.Second):
		return nil, c.malformed("X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds")
	}
	c.expiry = time.Duration(seconds) * time.Second
	return c, c.checkDate()
}

// fill takes the three parts apart that header and query have in common.
func (c *claim) fill(credential, signed, signature string) error {
	parts := strings.Split(credential, "/")
	n := len(parts)
	if n < 5 {
		return c.malformed("The Credential is malformed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".")
	}
	c.keyID = strings.Join(parts[:n-4], "/")
	c.date, c.region, c.service = parts[n-4], parts[n-3], parts[n-2]
	switch {
	case c.keyID == "":
		return c.malformed("The Credential is malformed; it has no access key id.")
	case parts[n-1] != terminator:
		return c.malformed("The Credential is malformed; it must end with %q.", terminator)
	case c.service != "s3":
		return c.malformed("The Credential is malformed; incorrect service %q. This endpoint belongs to \"s3\".", c.service)
	}
	c.signed = strings.Split(signed, ";")
	if !slices.IsSorted(c.signed) || len(slices.Compact(slices.Clone(c.signed))) != len(c.signed) || signed != strings.ToLower(signed) || c.signed[0] == "" {
		return c.malformed("The SignedHeaders must be names in lower case, sorted, each once, with semicolons between them.")
	}
	var err error
	if c.signature, err = hex.DecodeString(signature); err != nil || len(c.signature) != 32 {
		return c.malformed("The Signature must have 64 hexadecimal digits.")
	}
	return nil
}

func (c *claim) checkDate() error {
	if day := c.at.UTC().Format("20060102"); c.date != day {
		return c.malformed("Invalid credential date %q. This date is not the same as X-Amz-Date: %q.", c.date, day)
	}
	return nil
}
