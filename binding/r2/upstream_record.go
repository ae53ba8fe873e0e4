package r2

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
)

// carried is what an object of an upstream has that headers of S3 do not carry as
// it is: it is in the metadata "selvage", as JSON in base64url. What headers carry
// is in headers, for others that read the bucket.
type carried struct {
	// HTTP are all of these headers, if one of them is not ASCII, a time is no
	// header's, or there is no content type, for which S3 has a default.
	HTTP *HTTPMetadata `json:"h,omitempty"`
	// Custom are those with a name or a value that a header would change.
	Custom map[string]string `json:"c,omitempty"`
	// Checksums but the MD5, which is the ETag.
	Checksums Checksums `json:"s,omitzero"`
}

const (
	metaPrefix  = "X-Amz-Meta-"
	carriedName = "selvage"
	year10000   = 253_402_300_800_000 // in milliseconds since 1970; headers have four digits
)

var (
	metaName  = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`)
	metaValue = regexp.MustCompile(`^([!-~]([ -~]*[!-~])?)$`)
	md5Tag    = regexp.MustCompile(`^[0-9a-f]{32}$`)
)

// putHeaders are those that an object is stored with.
func putHeaders(o PutOptions) (minio.PutObjectOptions, error) {
	h := o.HTTP
	p := minio.PutObjectOptions{UserMetadata: map[string]string{}}
	var more carried
	plain := h.ContentType != "" && (h.CacheExpiry == nil || *h.CacheExpiry%1000 == 0 && *h.CacheExpiry >= 0 && *h.CacheExpiry < year10000)
	for _, value := range []string{h.ContentType, h.ContentLanguage, h.ContentDisposition, h.ContentEncoding, h.CacheControl} {
		plain = plain && (value == "" || metaValue.MatchString(value))
	}
	if plain {
		p.ContentType, p.ContentLanguage, p.ContentDisposition = h.ContentType, h.ContentLanguage, h.ContentDisposition
		p.ContentEncoding, p.CacheControl = h.ContentEncoding, h.CacheControl
		if h.CacheExpiry != nil {
			p.Expires = time.UnixMilli(*h.CacheExpiry)
		}
	} else {
		more.HTTP = &h
		if metaValue.MatchString(h.ContentType) {
			p.ContentType = h.ContentType
		}
	}
	for name, value := range o.Custom {
		if metaName.MatchString(name) && metaValue.MatchString(value) && name != carriedName && !strings.Contains(value, "=?") {
			p.UserMetadata[metaPrefix+name] = value
			continue
		}
		if more.Custom == nil {
			more.Custom = map[string]string{}
		}
		more.Custom[name] = value
	}
	more.Checksums = o.Checksums
	more.Checksums.MD5 = nil
	if o.StorageClass == InfrequentAccess {
		p.StorageClass = "STANDARD_IA"
	}
	data, err := json.Marshal(more)
	if err == nil && string(data) != "{}" {
		p.UserMetadata[metaPrefix+carriedName] = base64.RawURLEncoding.EncodeToString(data)
	}
	return p, err
}

// objectOfHeaders reads the headers that putHeaders writes, or others have written.
func objectOfHeaders(key string, size int64, info minio.ObjectInfo) (*Object, error) {
	h := info.Headers
	o := &Object{Key: key, Size: size, ETag: info.ETag, Uploaded: info.LastModified, HTTP: MetadataOf(h)}
	o.HTTP.ContentEncoding = strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(o.HTTP.ContentEncoding, "aws-chunked,"), "aws-chunked"), ",")
	o.complete(h.Get("X-Amz-Storage-Class"), h.Get("X-Amz-Server-Side-Encryption"))
	var more carried
	for name, values := range h {
		name, ok := strings.CutPrefix(name, metaPrefix)
		if !ok || len(values) == 0 {
			continue
		}
		if name = strings.ToLower(name); name == carriedName {
			data, err := base64.RawURLEncoding.DecodeString(values[0])
			if err == nil {
				err = json.Unmarshal(data, &more)
			}
			if err != nil {
				return nil, fmt.Errorf("metadata %q of %q: %w", carriedName, key, errCorrupt)
			}
			continue
		}
		o.setCustom(name, strings.ToValidUTF8(values[0], "\ufffd"))
	}
	for name, value := range more.Custom {
		o.setCustom(name, value)
	}
	if more.HTTP != nil {
		o.HTTP = *more.HTTP
	}
	sum := o.Checksums.MD5
	o.Checksums = more.Checksums
	o.Checksums.MD5 = sum
	return o, nil
}

// objectOfList is what a list says of an object.
func objectOfList(info minio.ObjectInfo) *Object {
	o := &Object{Key: info.Key, Size: info.Size, ETag: info.ETag, Uploaded: info.LastModified}
	o.complete(info.StorageClass, "")
	return o
}

func (o *Object) setCustom(name, value string) {
	if o.Custom == nil {
		o.Custom = map[string]string{}
	}
	o.Custom[name] = value
}

// complete fills in what follows from the ETag and the time, which lists give in
// milliseconds and headers do not, and from S3's words.
func (o *Object) complete(class, encryption string) {
	o.ETag = strings.Trim(o.ETag, `"`)
	o.Uploaded = o.Uploaded.UTC().Truncate(time.Second)
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%d", o.ETag, o.Uploaded.Unix()))
	o.Version = hex.EncodeToString(sum[:16])
	o.StorageClass = classOf(class)
	// Encrypted with a key of a key service, the ETag is no MD5.
	if md5Tag.MatchString(o.ETag) && !strings.HasPrefix(encryption, "aws:") {
		o.Checksums.MD5, _ = hex.DecodeString(o.ETag)
	}
}

// classOf is R2's word for a storage class of S3.
func classOf(class string) string {
	switch class {
	case "", "STANDARD", "REDUCED_REDUNDANCY", "INTELLIGENT_TIERING", "EXPRESS_ONEZONE":
		return Standard
	}
	return InfrequentAccess
}
