package r2

import (
	"cmp"
	"net/http"
	"strings"
	"time"
)

// Headers sets those that the object is served with.
func (m HTTPMetadata) Headers(h http.Header) {
	for name, value := range map[string]string{
		"Content-Type": m.ContentType, "Content-Language": m.ContentLanguage, "Content-Disposition": m.ContentDisposition,
		"Content-Encoding": m.ContentEncoding, "Cache-Control": m.CacheControl,
	} {
		if value != "" {
			h.Set(name, value)
		}
	}
	if m.CacheExpiry != nil {
		h.Set("Expires", time.UnixMilli(*m.CacheExpiry).UTC().Format(http.TimeFormat))
	}
}

// MetadataOf reads them from the headers of an upload. An Expires that is no date
// is not heeded.
func MetadataOf(h http.Header) HTTPMetadata {
	text := func(name string) string { return strings.ToValidUTF8(h.Get(name), "\ufffd") }
	m := HTTPMetadata{ContentType: text("Content-Type"), ContentLanguage: text("Content-Language"),
		ContentDisposition: text("Content-Disposition"), ContentEncoding: text("Content-Encoding"), CacheControl: text("Cache-Control")}
	if t, err := http.ParseTime(h.Get("Expires")); err == nil {
		ms := t.UnixMilli()
		m.CacheExpiry = &ms
	}
	return m
}

// Merge is m with the fields that other has.
func (m HTTPMetadata) Merge(other HTTPMetadata) HTTPMetadata {
	merged := HTTPMetadata{
		ContentType:        cmp.Or(other.ContentType, m.ContentType),
		ContentLanguage:    cmp.Or(other.ContentLanguage, m.ContentLanguage),
		ContentDisposition: cmp.Or(other.ContentDisposition, m.ContentDisposition),
		ContentEncoding:    cmp.Or(other.ContentEncoding, m.ContentEncoding),
		CacheControl:       cmp.Or(other.CacheControl, m.CacheControl),
		CacheExpiry:        cmp.Or(other.CacheExpiry, m.CacheExpiry),
	}
	return merged
}
