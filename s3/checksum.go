package s3

import (
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/selvage-edge/selvage/binding/r2"
)

// algorithm is a kind of checksum that S3 has a header for.
type algorithm struct {
	name   string // in XML and in headers' values
	stored string // the store's name
	header string
	size   int
	field  func(*r2.Checksums) *[]byte
}

var algorithms = []algorithm{
	{"CRC32", "CRC32", "X-Amz-Checksum-Crc32", 4, func(c *r2.Checksums) *[]byte { return &c.CRC32 }},
	{"CRC32C", "CRC32C", "X-Amz-Checksum-Crc32c", 4, func(c *r2.Checksums) *[]byte { return &c.CRC32C }},
	{"CRC64NVME", "CRC64NVME", "X-Amz-Checksum-Crc64nvme", 8, func(c *r2.Checksums) *[]byte { return &c.CRC64NVME }},
	{"SHA1", "SHA-1", "X-Amz-Checksum-Sha1", 20, func(c *r2.Checksums) *[]byte { return &c.SHA1 }},
	{"SHA256", "SHA-256", "X-Amz-Checksum-Sha256", 32, func(c *r2.Checksums) *[]byte { return &c.SHA256 }},
}

// claims are the checksums that a request says its content has.
type claims struct {
	r2.Checksums
	// late gives those that come behind the content; nil if none do.
	late func() (r2.Checksums, error)
	// sent are the algorithms for the answer.
	sent []algorithm
}

// claimed reads the digests of a request's content: Content-MD5, and one of
// x-amz-checksum-*, which may be a trailer.
func claimed(r *http.Request) (c claims, err error) {
	if v := r.Header.Get("Content-Md5"); v != "" {
		if c.MD5, err = base64.StdEncoding.DecodeString(v); err != nil || len(c.MD5) != 16 {
			return c, errInvalidDigest
		}
	}
	trailers := strings.Join(r.Header["X-Amz-Trailer"], ",")
	for _, a := range algorithms {
		v := r.Header.Get(a.header)
		trails := false
		for name := range strings.SplitSeq(trailers, ",") {
			trails = trails || strings.EqualFold(strings.TrimSpace(name), a.header)
		}
		if v == "" && !trails {
			continue
		}
		if len(c.sent) > 0 {
			return c, badRequest("InvalidRequest", "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
		}
		c.sent = append(c.sent, a)
		field := a.field(&c.Checksums)
		if v != "" {
			if *field, err = a.decode(v); err != nil {
				return c, err
			}
			continue
		}
		*field = []byte{} // to be computed
		c.late = func() (late r2.Checksums, err error) {
			*a.field(&late), err = a.decode(r.Trailer.Get(a.header))
			return late, err
		}
	}
	if name := r.Header.Get("X-Amz-Sdk-Checksum-Algorithm"); name != "" && len(c.sent) > 0 && !strings.EqualFold(name, c.sent[0].name) {
		return c, badRequest("InvalidRequest", "Value for x-amz-sdk-checksum-algorithm header is invalid.")
	}
	return c, nil
}

func (a algorithm) decode(v string) ([]byte, error) {
	sum, err := base64.StdEncoding.DecodeString(v)
	if err != nil || len(sum) != a.size {
		return nil, badRequest("InvalidRequest", "Value for %s header is invalid.", strings.ToLower(a.header))
	}
	return sum, nil
}

// Types of checksums.
const (
	fullObject = "FULL_OBJECT"
	composite  = "COMPOSITE" // of the checksums of the parts
)

// kindOfSum is the type of an object that is uploaded in parts. Others are those
// of the whole.
//
// Source: https://developers.cloudflare.com/r2/api/s3/api/#checksum-types
func (a algorithm) kindOfSum() string {
	if a.name == "CRC64NVME" {
		return fullObject
	}
	return composite
}

// of is the checksum of an object and its type, "" if it has none of that kind.
func (a algorithm) of(o *r2.Object) (value, kind string) {
	if sum := *a.field(&o.Checksums); len(sum) > 0 {
		return base64.StdEncoding.EncodeToString(sum), fullObject
	}
	if sum := *a.field(&o.PartSums); len(sum) > 0 {
		_, count, _ := strings.Cut(o.ETag, "-")
		return base64.StdEncoding.EncodeToString(sum) + "-" + count, composite
	}
	return "", ""
}

// setChecksums sets the headers of what a content was found to have.
func setChecksums(h http.Header, sums r2.Checksums, list []algorithm) {
	for _, a := range list {
		if sum := *a.field(&sums); len(sum) > 0 {
			h.Set(a.header, base64.StdEncoding.EncodeToString(sum))
			h.Set("X-Amz-Checksum-Type", fullObject)
		}
	}
}
