package r2

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// record is an object as workerd reads it.
type record struct {
	Name     string            `json:"name"`
	Version  string            `json:"version"`
	Size     int64             `json:"size"`
	ETag     string            `json:"etag"`
	Uploaded int64             `json:"uploaded"`
	HTTP     HTTPMetadata      `json:"httpFields"`
	Custom   []field           `json:"customFields"`
	Range    *recordRange      `json:"range,omitempty"`
	Sums     map[string]string `json:"checksums,omitempty"`
	Class    string            `json:"storageClass"`
	SSEC     *recordSSEC       `json:"ssec,omitempty"`
}

type recordRange struct {
	Offset int64 `json:"offset"`
	Length int64 `json:"length"`
}

type recordSSEC struct {
	Algorithm string `json:"algorithm"`
	KeyMD5    string `json:"keyMd5"`
}

// listReply is the answer to a list.
type listReply struct {
	Objects   []json.RawMessage `json:"objects"`
	Truncated bool              `json:"truncated"`
	Cursor    string            `json:"cursor,omitempty"`
	Prefixes  []json.RawMessage `json:"delimitedPrefixes"`
}

// shownSums are how many of algorithms Workers see.
const shownSums = 5

func toRecord(o *Object) record {
	r := record{Name: o.Key, Version: o.Version, Size: o.Size, ETag: o.ETag, Uploaded: o.Uploaded.UnixMilli(), HTTP: o.HTTP, Custom: []field{}, Class: o.StorageClass}
	for _, k := range slices.Sorted(maps.Keys(o.Custom)) {
		r.Custom = append(r.Custom, field{k, o.Custom[k]})
	}
	for i, a := range algorithms[:shownSums] {
		if sum := *a.field(&o.Checksums); sum != nil {
			if r.Sums == nil {
				r.Sums = map[string]string{}
			}
			r.Sums[string(rune('0'+i))] = hex.EncodeToString(sum)
		}
	}
	if o.SSECKeyMD5 != "" {
		r.SSEC = &recordSSEC{"AES256", o.SSECKeyMD5}
	}
	return r
}

func (r record) withRange(offset, length int64) record {
	r.Range = &recordRange{offset, length}
	return r
}

// asciiJSON escapes what may not stand in a header.
func asciiJSON(data []byte) string {
	var b strings.Builder
	for len(data) > 0 {
		c, n := utf8.DecodeRune(data)
		data = data[n:]
		switch {
		case c < 0x7f:
			b.WriteRune(c)
		case c > 0xffff:
			high, low := utf16.EncodeRune(c)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, c)
		}
	}
	return b.String()
}
