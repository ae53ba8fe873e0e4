package s3

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/selvage-edge/selvage/binding/r2"
	"github.com/selvage-edge/selvage/edge/http1"
)

// metaPrefix begins the headers of custom metadata.
const metaPrefix = "X-Amz-Meta-"

// refused are headers that ask for what R2 does not have. A client that sends one
// relies on it, so it is told.
var refused = []string{
	"X-Amz-Acl", "X-Amz-Grant-Full-Control", "X-Amz-Grant-Read", "X-Amz-Grant-Read-Acp", "X-Amz-Grant-Write", "X-Amz-Grant-Write-Acp",
	"X-Amz-Bucket-Object-Lock-Enabled", "X-Amz-Object-Lock-Legal-Hold", "X-Amz-Object-Lock-Mode", "X-Amz-Object-Lock-Retain-Until-Date",
	"X-Amz-Server-Side-Encryption", "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id", "X-Amz-Server-Side-Encryption-Context",
	"X-Amz-Tagging", "X-Amz-Website-Redirect-Location", "X-Amz-Write-Offset-Bytes",
}

// harmless are their values that ask for what is so anyway.
var harmless = map[string]string{
	"X-Amz-Acl": "private", "X-Amz-Bucket-Object-Lock-Enabled": "false", "X-Amz-Object-Lock-Legal-Hold": "OFF",
}

func refuseHeaders(h http.Header) error {
	for _, name := range refused {
		if v := h.Get(name); v != "" && v != harmless[name] {
			return notImplemented(fmt.Sprintf("Header '%s' with value '%s'", strings.ToLower(name), v))
		}
	}
	return nil
}

// classes are S3's names of the storage classes.
var classes = map[string]string{"STANDARD": r2.Standard, "STANDARD_IA": r2.InfrequentAccess}

func className(class string) string {
	if class == r2.InfrequentAccess {
		return "STANDARD_IA"
	}
	return "STANDARD"
}

// storageClass is that which a request asks for, or else the bucket's.
func (c *call) storageClass() (string, error) {
	if name := c.r.Header.Get("X-Amz-Storage-Class"); name != "" {
		class, ok := classes[name]
		if !ok {
			return "", badRequest("InvalidStorageClass", "The storage class you specified is not valid: use STANDARD or STANDARD_IA.")
		}
		return class, nil
	}
	info, err := c.store.Info(c.r.Context(), c.bucketName)
	return info.StorageClass, err
}

// httpMetadata reads the headers that an object is served with.
func httpMetadata(h http.Header) r2.HTTPMetadata {
	m := r2.MetadataOf(h)
	var codings []string
	for coding := range strings.SplitSeq(m.ContentEncoding, ",") {
		if coding = strings.TrimSpace(coding); coding != "" && coding != "aws-chunked" { // of the request, not of the object
			codings = append(codings, coding)
		}
	}
	m.ContentEncoding = strings.Join(codings, ", ")
	return m
}

var words mime.WordDecoder

// customMetadata reads the headers x-amz-meta-*. As on R2 their values may be
// encoded words (RFC 2047).
func customMetadata(h http.Header) map[string]string {
	var custom map[string]string
	for name, values := range h {
		key, ok := strings.CutPrefix(name, metaPrefix)
		if !ok || key == "" {
			continue
		}
		value := strings.Join(values, ",")
		if decoded, err := words.DecodeHeader(value); err == nil {
			value = decoded
		}
		if !utf8.ValidString(value) { // bytes of a header that says nothing of their meaning
			latin := make([]rune, len(value))
			for i := range len(value) {
				latin[i] = rune(value[i])
			}
			value = string(latin)
		}
		if custom == nil {
			custom = map[string]string{}
		}
		custom[strings.ToLower(key)] = value
	}
	return custom
}

// setCustom sets the headers x-amz-meta-*. Keys that no header can have are left
// out and counted.
func setCustom(h http.Header, custom map[string]string) {
	missing := 0
	for _, key := range slices.Sorted(maps.Keys(custom)) {
		if !http1.Token(key) {
			missing++
			continue
		}
		value := custom[key]
		if strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c > '~' }) {
			value = mime.BEncoding.Encode("utf-8", value)
		}
		h["x-amz-meta-"+key] = append(h["x-amz-meta-"+key], value)
	}
	if missing > 0 {
		h.Set("X-Amz-Missing-Meta", strconv.Itoa(missing))
	}
}

// setObject sets the headers that describe an object.
func setObject(h http.Header, o *r2.Object) {
	h.Set("Content-Type", "application/octet-stream")
	o.HTTP.Headers(h)
	h.Set("ETag", `"`+o.ETag+`"`)
	h.Set("Last-Modified", o.Uploaded.Format(http.TimeFormat))
	h.Set("Accept-Ranges", "bytes")
	if o.StorageClass != r2.Standard {
		h.Set("X-Amz-Storage-Class", className(o.StorageClass))
	}
	setCustom(h, o.Custom)
	if sum, err := hex.DecodeString(o.SSECKeyMD5); err == nil && len(sum) > 0 {
		setCustomer(h, sum)
	}
}

// overrides are the parameters that replace a header of the answer.
var overrides = map[string]string{
	"response-cache-control": "Cache-Control", "response-content-disposition": "Content-Disposition", "response-content-encoding": "Content-Encoding",
	"response-content-language": "Content-Language", "response-content-type": "Content-Type", "response-expires": "Expires",
}

func (c *call) override(h http.Header) error {
	for parameter, name := range overrides {
		if v := c.query.Get(parameter); v != "" {
			if strings.ContainsFunc(v, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) {
				return invalidArgument("The value of %s cannot stand in a header.", parameter)
			}
			h.Set(name, v)
		}
	}
	return nil
}

// conditions reads the conditional headers, whose names begin with prefix; nil if
// there are none. Dates that are none are not heeded.
func conditions(h http.Header, prefix string) *r2.Conditional {
	c := r2.Conditional{ETagMatches: tags(h[prefix+"If-Match"]), ETagDoesNotMatch: tags(h[prefix+"If-None-Match"]), WholeSeconds: true}
	if t, err := http.ParseTime(h.Get(prefix + "If-Unmodified-Since")); err == nil {
		c.UploadedBefore = t.Add(time.Second) // that second itself is not after it
	}
	if t, err := http.ParseTime(h.Get(prefix + "If-Modified-Since")); err == nil {
		c.UploadedAfter = t
	}
	if c.ETagMatches == nil && c.ETagDoesNotMatch == nil && c.UploadedBefore.IsZero() && c.UploadedAfter.IsZero() {
		return nil
	}
	return &c
}

// tags reads lists of entity tags. Clients of S3 leave the quotes out at times.
func tags(lines []string) (list []r2.ETag) {
	for _, line := range lines {
		for tag := range strings.SplitSeq(line, ",") {
			tag = strings.TrimSpace(tag)
			opaque, weak := strings.CutPrefix(tag, "W/")
			list = append(list, r2.ETag{Value: strings.Trim(opaque, `"`), Weak: weak, Any: tag == "*"})
		}
	}
	return list
}

// notHeld is the answer to a read whose conditions do not hold for an object.
func notHeld(c *r2.Conditional, o *r2.Object) error {
	first := r2.Conditional{ETagMatches: c.ETagMatches, UploadedBefore: c.UploadedBefore, WholeSeconds: true}
	if !first.Holds(o) {
		return errPrecondition
	}
	h := http.Header{}
	setObject(h, o)
	h.Del("Content-Type")
	return &Error{Status: http.StatusNotModified, Code: "NotModified", Message: "Not Modified", header: h}
}

// Prefixes of the headers of SSE-C.
const (
	customerPrefix = "X-Amz-Server-Side-Encryption-Customer-"
	sourcePrefix   = "X-Amz-Copy-Source-Server-Side-Encryption-Customer-"
)

// customerKey reads a key of SSE-C; nil if there is none.
func customerKey(h http.Header, prefix string) ([]byte, error) {
	algorithm, text, sum := h.Get(prefix+"Algorithm"), h.Get(prefix+"Key"), h.Get(prefix+"Key-Md5")
	if algorithm == "" && text == "" && sum == "" {
		return nil, nil
	}
	switch {
	case algorithm == "":
		return nil, invalidArgument("Requests specifying Server Side Encryption with Customer provided keys must provide a valid encryption algorithm.")
	case algorithm != "AES256":
		return nil, badRequest("InvalidEncryptionAlgorithmError", "The encryption request you specified is not valid. Supported value: AES256.")
	case text == "":
		return nil, invalidArgument("Requests specifying Server Side Encryption with Customer provided keys must provide an appropriate secret key.")
	}
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(key) != 32 {
		return nil, invalidArgument("The secret key was invalid for the specified algorithm.")
	}
	if want := md5.Sum(key); sum != base64.StdEncoding.EncodeToString(want[:]) {
		return nil, invalidArgument("The calculated MD5 hash of the key did not match the hash that was provided.")
	}
	return key, nil
}

// setCustomerKey says which key of SSE-C something was stored with; nothing if key
// is nil.
func setCustomerKey(h http.Header, key []byte) {
	if key != nil {
		sum := md5.Sum(key)
		setCustomer(h, sum[:])
	}
}

func setCustomer(h http.Header, sum []byte) {
	h.Set(customerPrefix+"Algorithm", "AES256")
	h.Set(customerPrefix+"Key-Md5", base64.StdEncoding.EncodeToString(sum))
}
