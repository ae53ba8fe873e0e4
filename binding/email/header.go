package email

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Limits of Message.Headers.
//
// Source: https://developers.cloudflare.com/email-service/reference/headers/
const (
	maxHeaders      = 20 // without X-…
	maxHeaderName   = 100
	maxHeaderValue  = 2048
	maxHeadersBytes = 16 << 10
)

// allowed are the headers that a message may have besides X-….
var allowed = canonical(
	"In-Reply-To", "References",
	"List-Unsubscribe", "List-Unsubscribe-Post", "List-Id", "List-Archive", "List-Help", "List-Owner", "List-Post", "List-Subscribe", "Precedence",
	"Auto-Submitted",
	"Content-Language", "Keywords", "Comments", "Importance", "Priority", "Sensitivity", "Organization",
	"Require-Recipient-Valid-Since", "Expires", "Reply-By", "Archived-At",
)

// fields are the headers that Message has fields for.
var fields = map[string]string{"from": "from", "to": "to", "cc": "cc", "bcc": "bcc", "subject": "subject", "reply-to": "replyTo"}

func canonical(names ...string) map[string]string {
	m := map[string]string{}
	for _, name := range names {
		m[strings.ToLower(name)] = name
	}
	return m
}

var headerName = regexp.MustCompile(`^(?:[A-Za-z0-9-]+|[Xx]-[A-Za-z0-9_-]+)$`)

var unsubscribe = regexp.MustCompile(`^<(?:https|mailto):[^<>]+>(?:\s*,\s*<(?:https|mailto):[^<>]+>)*$`)

// checkHeaders refuses headers that Cloudflare refuses.
func checkHeaders(headers map[string]string) error {
	total, known := 0, 0
	seen := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		value := headers[name]
		lower := strings.ToLower(name)
		total += len(name) + 2 + len(value) + 2
		isX := strings.HasPrefix(lower, "x-")
		switch {
		case len(name) > maxHeaderName || !headerName.MatchString(name):
			return fail("E_HEADER_NAME_INVALID", "Header name '%.100s' contains invalid characters.", name)
		case fields[lower] != "":
			return fail("E_HEADER_USE_API_FIELD", "Header '%s' must be set via the '%s' API field, not the 'headers' object.", name, fields[lower])
		case seen[lower] != "":
			return fail("E_HEADER_NAME_INVALID", "Header '%s' is given twice.", name)
		case !isX && allowed[lower] == "":
			return fail("E_HEADER_NOT_ALLOWED", "Header '%s' is not allowed.", name)
		case len(value) > maxHeaderValue:
			return fail("E_HEADER_VALUE_TOO_LONG", "Header '%s' value exceeds %d byte limit.", name, maxHeaderValue)
		case strings.TrimSpace(value) == "" || breaks(value):
			return fail("E_HEADER_VALUE_INVALID", "Header '%s' value is empty or contains invalid characters.", name)
		case lower == "list-unsubscribe" && !unsubscribe.MatchString(value):
			return fail("E_HEADER_VALUE_INVALID", "Header 'List-Unsubscribe' must contain angle-bracket HTTPS or mailto URI(s).")
		case lower == "list-unsubscribe-post" && value != "List-Unsubscribe=One-Click":
			return fail("E_HEADER_VALUE_INVALID", "Header 'List-Unsubscribe-Post' must be exactly 'List-Unsubscribe=One-Click'.")
		}
		seen[lower] = value
		if !isX {
			known++
		}
	}
	switch {
	case seen["list-unsubscribe-post"] != "" && !strings.Contains(seen["list-unsubscribe"], "<https:"):
		return fail("E_HEADER_VALUE_INVALID", "Header 'List-Unsubscribe-Post' requires 'List-Unsubscribe' with an HTTPS URI.")
	case known > maxHeaders:
		return fail("E_HEADERS_TOO_MANY", "%d allowlisted headers provided, maximum is %d.", known, maxHeaders)
	case total > maxHeadersBytes:
		return fail("E_HEADERS_TOO_LARGE", "Total custom headers payload (%.1fKB) exceeds 16KB limit.", float64(total)/1024)
	}
	return nil
}
