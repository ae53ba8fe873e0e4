package r2

import (
	"encoding/hex"
	"encoding/json"
	"strconv"
	"time"
)

// request is the JSON of a request.
type request struct {
	Method       string      `json:"method"`
	Object       string      `json:"object"`
	Objects      []string    `json:"objects"`
	Range        *rangeJSON  `json:"range"`
	RangeHeader  string      `json:"rangeHeader"`
	OnlyIf       *onlyIfJSON `json:"onlyIf"`
	SSEC         *ssecJSON   `json:"ssec"`
	CustomFields []field     `json:"customFields"`
	HTTPFields   *httpFields `json:"httpFields"`
	MD5          []byte      `json:"md5"` // base64, unlike the others
	SHA1         hexBytes    `json:"sha1"`
	SHA256       hexBytes    `json:"sha256"`
	SHA384       hexBytes    `json:"sha384"`
	SHA512       hexBytes    `json:"sha512"`
	StorageClass string      `json:"storageClass"`
	Limit        *number     `json:"limit"`
	Prefix       string      `json:"prefix"`
	Cursor       string      `json:"cursor"`
	Delimiter    string      `json:"delimiter"`
	StartAfter   string      `json:"startAfter"`
	Include      []int       `json:"include"`
	UploadID     string      `json:"uploadId"`
	PartNumber   int         `json:"partNumber"`
	Parts        []partJSON  `json:"parts"`
}

type (
	rangeJSON  struct{ Offset, Length, Suffix *number }
	ssecJSON   struct{ Key hexBytes }
	onlyIfJSON struct {
		ETagMatches       []etagJSON `json:"etagMatches"`
		ETagDoesNotMatch  []etagJSON `json:"etagDoesNotMatch"`
		UploadedBefore    *number    `json:"uploadedBefore"`
		UploadedAfter     *number    `json:"uploadedAfter"`
		SecondGranularity bool       `json:"secondsGranularity"`
	}
	etagJSON struct{ Value, Type string }
	field    struct {
		K string `json:"k"`
		V string `json:"v"`
	}
	httpFields struct {
		HTTPMetadata
		CacheExpiry *number `json:"cacheExpiry,omitempty"`
	}
	partJSON struct {
		ETag string `json:"etag"`
		Part int    `json:"part"`
	}
)

// number is a whole number, which workerd writes as a string if it has 64 bits.
type number int64

// UnmarshalJSON implements json.Unmarshaler.
func (n *number) UnmarshalJSON(data []byte) error {
	if len(data) > 2 && data[0] == '"' {
		data = data[1 : len(data)-1]
	}
	v, err := strconv.ParseInt(string(data), 10, 64)
	*n = number(v)
	return err
}

func (n *number) pointer() *int64 { return (*int64)(n) }

// hexBytes are bytes in hexadecimal.
type hexBytes []byte

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

func (r *request) decode(data []byte) error {
	if len(data) == 0 {
		return invalid("Metadata missing or invalid")
	}
	if err := json.Unmarshal(data, r); err != nil {
		return invalid("Metadata missing or invalid: %v", err)
	}
	return nil
}

func (j *ssecJSON) key() ([]byte, error) {
	if j == nil {
		return nil, nil
	}
	if j.Key == nil {
		j.Key = hexBytes{} // refused, rather than no encryption
	}
	return j.Key, checkSSECKey(j.Key)
}

func (j *onlyIfJSON) conditional() *Conditional {
	if j == nil {
		return nil
	}
	tags := func(list []etagJSON) (tags []ETag) {
		for _, t := range list {
			tags = append(tags, ETag{Value: t.Value, Weak: t.Type == "weak", Any: t.Type == "wildcard"})
		}
		return tags
	}
	at := func(n *number) time.Time {
		if n == nil {
			return time.Time{}
		}
		return time.UnixMilli(int64(*n))
	}
	return &Conditional{ETagMatches: tags(j.ETagMatches), ETagDoesNotMatch: tags(j.ETagDoesNotMatch),
		UploadedBefore: at(j.UploadedBefore), UploadedAfter: at(j.UploadedAfter), WholeSeconds: j.SecondGranularity}
}

func (r *request) putOptions(key []byte) (PutOptions, error) {
	o := PutOptions{OnlyIf: r.OnlyIf.conditional(), StorageClass: r.StorageClass, SSECKey: key,
		Checksums: Checksums{MD5: r.MD5, SHA1: r.SHA1, SHA256: r.SHA256, SHA384: r.SHA384, SHA512: r.SHA512}}
	if r.HTTPFields != nil {
		o.HTTP = r.HTTPFields.HTTPMetadata
		o.HTTP.CacheExpiry = r.HTTPFields.CacheExpiry.pointer()
	}
	if len(r.CustomFields) > 0 {
		o.Custom = make(map[string]string, len(r.CustomFields))
		for _, f := range r.CustomFields {
			o.Custom[f.K] = f.V
		}
	}
	return o, nil
}
