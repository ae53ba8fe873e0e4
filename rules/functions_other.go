package rules

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"hash"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"sync"
)

func otherFunctions() []Function {
	addresses := where{phases: Firewall | RateLimit}
	return []Function{
		{Signature: "cidr(address IP address, ipv4_network_bits Integer, ipv6_network_bits Integer): IP address", only: addresses, min: 3, max: 3, build: func(a *arguments) (value, error) {
			return buildCIDR(a, true)
		}},
		{Signature: "cidr6(address IP address, ipv6_network_bits Integer): IP address", only: addresses, min: 2, max: 2, build: func(a *arguments) (value, error) {
			return buildCIDR(a, false)
		}},
		{Signature: "lookup_json_string(field String, key String | Integer, …): String", min: 2, max: -1, build: func(a *arguments) (value, error) {
			keys, err := a.keys()
			if err != nil {
				return value{}, err
			}
			return liftText(a, String, func(c *Context, s string) (string, bool) {
				v, ok := lookup(c, s, keys)
				if !ok || v == "" || v[0] != '"' {
					return "", false
				}
				return unquote(c, v), true
			})
		}},
		{Signature: "lookup_json_integer(field String, key String | Integer, …): Integer", min: 2, max: -1, build: func(a *arguments) (value, error) {
			keys, err := a.keys()
			if err != nil {
				return value{}, err
			}
			return liftText(a, Int, func(c *Context, s string) (int64, bool) {
				v, ok := lookup(c, s, keys)
				if !ok {
					return 0, false
				}
				n, err := strconv.ParseInt(v, 10, 64)
				return n, err == nil
			})
		}},
		{Signature: "is_timed_hmac_valid_v0(key String, message_mac String, ttl Integer, current_time Integer, length_of_separator Integer?, flags String?): Boolean", min: 4, max: 6, build: buildHMAC},
		{Signature: "bit_slice(protocol String, offset_start Integer, offset_end Integer): Integer"},
	}
}

func buildCIDR(a *arguments, both bool) (value, error) {
	x := a.values[0]
	if x.lit != nil || x.typ != addressT || x.each {
		return x, a.wrong(0, "a field that is an IP address")
	}
	bits4, at6 := int64(32), 1
	var err error
	if both {
		at6 = 2
		if bits4, err = a.intLit(1, 1, 32); err != nil {
			return x, err
		}
	}
	bits6, err := a.intLit(at6, 1, 128)
	if err != nil {
		return x, err
	}
	return lift(x, IP, func(_ *Context, ip address) (address, bool) {
		bits := int(bits6)
		if ip.Is4() {
			bits = int(bits4)
		}
		return netip.PrefixFrom(ip, bits).Masked().Addr(), true
	}), nil
}

// keys are the arguments from the second on: names and positions.
func (a *arguments) keys() ([]key, error) {
	if err := a.field(0); err != nil {
		return nil, err
	}
	var keys []key
	for i := 1; i < len(a.values); i++ {
		if v := a.values[i]; v.lit != nil && v.lit.kind == word {
			n, err := a.intLit(i, 0, math.MaxInt32)
			if err != nil {
				return nil, err
			}
			keys = append(keys, key{index: int(n), position: true})
			continue
		}
		name, err := a.textLit(i)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key{name: name})
	}
	return keys, nil
}

// buildHMAC makes the check of a token: message, separator, ten digits of the
// time of issue, a dash, and the base64 of HMAC-SHA256 of message and time.
//
// Source: https://developers.cloudflare.com/ruleset-engine/rules-language/functions/#hmac-validation
func buildHMAC(a *arguments) (value, error) {
	secret, err := a.textLit(0)
	if err != nil {
		return value{}, err
	}
	token, err := a.text(1)
	if err != nil {
		return value{}, err
	}
	if err := a.field(1); err != nil {
		return value{}, err
	}
	ttl, err := a.intLit(2, 0, math.MaxInt32)
	if err != nil {
		return value{}, err
	}
	now, ok := a.values[3].fn.(getter[int64])
	if a.values[3].lit != nil {
		n, err := a.intLit(3, 0, math.MaxInt64)
		if err != nil {
			return value{}, err
		}
		now, ok = func(*Context) (int64, bool) { return n, true }, true
	}
	if !ok {
		return value{}, a.wrong(3, "an integer, such as http.request.timestamp.sec")
	}
	separator := int64(0)
	if len(a.values) > 4 {
		if separator, err = a.intLit(4, 0, maxLength); err != nil {
			return value{}, err
		}
	}
	flags, err := a.flags(5, "s")
	if err != nil {
		return value{}, err
	}
	macs := sync.Pool{New: func() any { return hmac.New(sha256.New, []byte(secret)) }}
	return value{typ: boolean, fn: test(func(c *Context) bool {
		t, ok := token(c)
		at, is := now(c)
		if !ok || !is {
			return false
		}
		mac := macs.Get().(hash.Hash)
		defer macs.Put(mac)
		return validToken(c, mac, t, ttl, at, int(separator), flags == "s")
	})}, nil
}

func validToken(c *Context, mac hash.Hash, token string, ttl, now int64, separator int, safe bool) bool {
	const digits, safeLength = 10, 43
	encoding := base64.StdEncoding
	dash := strings.LastIndexByte(token, '-')
	if safe { // whose alphabet has the dash, too
		encoding = base64.RawURLEncoding
		dash = len(token) - safeLength - 1
	}
	stamp := dash - digits
	if stamp-separator < 1 || token[dash] != '-' {
		return false
	}
	issued, err := strconv.ParseUint(token[stamp:dash], 10, 63)
	if err != nil || int64(issued)+ttl < now {
		return false
	}
	sent := token[dash+1:]
	if !safe {
		sent = decodePercent(c, sent)
	}
	given := c.bytes.take(encoding.DecodedLen(len(sent)))
	n, err := encoding.Decode(given, view(sent))
	if err != nil {
		return false
	}
	message := c.join(token[:stamp-separator], token[stamp:dash])
	mac.Reset()
	mac.Write(view(message))
	return subtle.ConstantTimeCompare(mac.Sum(c.bytes.take(sha256.Size)[:0]), given[:n]) == 1
}

// decodePercent undoes %XX and leaves + alone, which base64 has.
func decodePercent(c *Context, s string) string {
	b := c.bytes.take(len(s))[:0]
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]) {
			b = append(b, byte(hexValue(s[i+1:i+3])))
			i += 2
		} else {
			b = append(b, s[i])
		}
	}
	return text(b)
}
