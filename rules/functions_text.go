package rules

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

// textFunctions are those that make one string of another, or look at it.
func textFunctions() []Function {
	simple := func(signature string, f func(c *Context, s string) string) Function {
		return Function{Signature: signature, min: 1, max: 1, build: func(a *arguments) (value, error) {
			return liftText(a, String, func(c *Context, s string) (string, bool) { return f(c, s), true })
		}}
	}
	compares := func(signature string, f func(s, part string) bool) Function {
		return Function{Signature: signature, min: 2, max: 2, build: func(a *arguments) (value, error) {
			if err := a.field(0); err != nil {
				return value{}, err
			}
			part, err := a.text(1)
			if err != nil {
				return value{}, err
			}
			return liftText(a, Bool, func(c *Context, s string) (bool, bool) {
				p, ok := part(c)
				return ok && f(s, p), ok
			})
		}}
	}
	return []Function{
		simple("lower(String): String", lower),
		simple("upper(String): String", upper),
		compares("starts_with(String, String): Boolean", strings.HasPrefix),
		compares("ends_with(String, String): Boolean", strings.HasSuffix),
		{Signature: "url_decode(source String, options String?): String", min: 1, max: 2, build: buildURLDecode},
		{Signature: "remove_bytes(source String, bytes String): String", min: 2, max: 2, build: buildRemoveBytes},
		{Signature: "substring(source String, start Integer, end Integer?): String", min: 2, max: 3, build: buildSubstring},
		{Signature: "decode_base64(source String): String", only: where{phases: transform | Firewall | RateLimit}, min: 1, max: 1, build: buildDecodeBase64},
		{Signature: "encode_base64(input String, flags String?): String", only: where{phases: RequestHeaders | ResponseHeaders}, min: 1, max: 2, build: buildEncodeBase64},
		{Signature: "sha256(input String): String", only: where{phases: transform}, min: 1, max: 1, build: func(a *arguments) (value, error) {
			return liftText(a, String, func(c *Context, s string) (string, bool) {
				sum := sha256.Sum256(view(s))
				b := c.bytes.take(len(sum))
				copy(b, sum[:])
				return text(b), true
			})
		}},
	}
}

func lower(c *Context, s string) string { return mapASCII(c, s, 'A', 'Z') }
func upper(c *Context, s string) string { return mapASCII(c, s, 'a', 'z') }

// mapASCII changes the case of letters from low to high.
func mapASCII(c *Context, s string, low, high byte) string {
	for i := range len(s) {
		if low <= s[i] && s[i] <= high {
			b := c.bytes.take(len(s))
			copy(b, s)
			for ; i < len(b); i++ {
				if low <= b[i] && b[i] <= high {
					b[i] ^= 0x20
				}
			}
			return text(b)
		}
	}
	return s
}

func buildURLDecode(a *arguments) (value, error) {
	if err := a.field(0); err != nil {
		return value{}, err
	}
	options, err := a.flags(1, "ru")
	if err != nil {
		return value{}, err
	}
	again, unicode := strings.Contains(options, "r"), strings.Contains(options, "u")
	return liftText(a, String, func(c *Context, s string) (string, bool) {
		for range maxDecoded {
			decoded := decodeURL(c, s, unicode)
			if !again || decoded == s {
				return decoded, true
			}
			s = decoded
		}
		return s, true
	})
}

// maxDecoded is how often url_decode decodes again: "%252525…" must not cost the
// square of its length.
const maxDecoded = 32

// decodeURL undoes %XX and +, and with unicode %uXXXX. What is none of them
// stays.
func decodeURL(c *Context, s string, unicode bool) string {
	first := strings.IndexAny(s, "%+")
	if first < 0 {
		return s
	}
	b := c.bytes.take(len(s))[:0]
	b = append(b, s[:first]...)
	for i := first; i < len(s); i++ {
		switch {
		case s[i] == '+':
			b = append(b, ' ')
		case s[i] == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			b = append(b, byte(hexValue(s[i+1:i+3])))
			i += 2
		case unicode && isUnicode(s[i:]):
			r := hexValue(s[i+2 : i+6])
			i += 5
			if high := r; 0xd800 <= r && r < 0xdc00 && isUnicode(s[i+1:]) {
				if low := hexValue(s[i+3 : i+7]); 0xdc00 <= low && low < 0xe000 {
					r = 0x10000 + (high-0xd800)<<10 + low - 0xdc00
					i += 6
				}
			}
			b = utf8.AppendRune(b, r)
		default:
			b = append(b, s[i])
		}
	}
	return text(b)
}

// isUnicode reports whether s begins with %uXXXX.
func isUnicode(s string) bool {
	return len(s) >= 6 && s[0] == '%' && s[1] == 'u' && isHex(s[2]) && isHex(s[3]) && isHex(s[4]) && isHex(s[5])
}

func hexValue(digits string) (v rune) {
	for i := range len(digits) {
		d := rune(digits[i])
		if d > '9' {
			d = d | 0x20 - 'a' + 10
		} else {
			d -= '0'
		}
		v = v<<4 | d
	}
	return v
}

func buildRemoveBytes(a *arguments) (value, error) {
	remove, err := a.textLit(1)
	if err != nil {
		return value{}, err
	}
	return liftText(a, String, func(c *Context, s string) (string, bool) {
		first := strings.IndexAny(s, remove)
		if !utf8.ValidString(remove) || first < 0 {
			first = 0
		}
		b := c.bytes.take(len(s))[:0]
		b = append(b, s[:first]...)
		for i := first; i < len(s); i++ {
			if strings.IndexByte(remove, s[i]) < 0 {
				b = append(b, s[i])
			}
		}
		return text(b), true
	})
}

func buildSubstring(a *arguments) (value, error) {
	const most = 1 << 31
	start, err := a.intLit(1, -most, most)
	if err != nil {
		return value{}, err
	}
	end, ended := int64(0), len(a.values) == 3
	if ended {
		if end, err = a.intLit(2, -most, most); err != nil {
			return value{}, err
		}
	}
	return liftText(a, String, func(c *Context, s string) (string, bool) {
		from, to := within(start, len(s)), len(s)
		if ended {
			to = within(end, len(s))
		}
		if from >= to {
			return "", true
		}
		return s[from:to], true
	})
}

// within makes an index of i, which counts from the end if it is negative.
func within(i int64, length int) int {
	if i < 0 {
		i += int64(length)
	}
	return int(min(max(i, 0), int64(length)))
}

func buildDecodeBase64(a *arguments) (value, error) {
	if err := a.field(0); err != nil {
		return value{}, err
	}
	return liftText(a, String, func(c *Context, s string) (string, bool) {
		s = strings.TrimRight(s, "=")
		out := c.bytes.take(base64.RawStdEncoding.DecodedLen(len(s)))
		n, err := base64.RawStdEncoding.Decode(out, view(s))
		return text(out[:n]), err == nil
	})
}

func buildEncodeBase64(a *arguments) (value, error) {
	flags, err := a.flags(1, "up")
	if err != nil {
		return value{}, err
	}
	encoding := base64.RawStdEncoding
	if strings.Contains(flags, "u") {
		encoding = base64.RawURLEncoding
	}
	if strings.Contains(flags, "p") {
		encoding = encoding.WithPadding(base64.StdPadding)
	}
	return liftText(a, String, func(c *Context, s string) (string, bool) {
		out := c.bytes.take(encoding.EncodedLen(len(s)))
		encoding.Encode(out, view(s))
		return text(out), true
	})
}
