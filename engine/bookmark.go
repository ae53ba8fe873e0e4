package engine

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
)

// objectID names an object for ever.
type objectID struct {
	key string // of its class
	id  string
}

var idPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

// belongs: the id is one of the class's, whose second half depends on the first
// and on the key. A facet has the id of the object that it is part of.
func (o objectID) belongs() bool {
	if !idPattern.MatchString(o.id) {
		return false
	}
	id, _ := hex.DecodeString(o.id)
	key := sha256.Sum256([]byte(o.key))
	mac := hmac.New(sha256.New, key[:])
	mac.Write(id[:16])
	return hmac.Equal(mac.Sum(nil)[:16], id[16:])
}

// format gives a bookmark as Cloudflare's look: it sorts as text, and its last part
// says whose it is.
func (o objectID) format(bookmark uint64) string {
	return fmt.Sprintf("%08x-%08x-00000000-%s", bookmark>>32, uint32(bookmark), o.tag())
}

func (o objectID) tag() string {
	sum := sha256.Sum256([]byte(o.key + "\x00" + o.id))
	return hex.EncodeToString(sum[:16])
}

var bookmarkPattern = regexp.MustCompile(`^([0-9a-f]{8})-([0-9a-f]{8})-00000000-([0-9a-f]{32})$`)

// parse reads a bookmark of the object.
func (o objectID) parse(text string) (uint64, error) {
	m := bookmarkPattern.FindStringSubmatch(text)
	if m == nil {
		return 0, problem(fmt.Sprintf("Invalid bookmark: %.80q is not one.", text))
	}
	if m[3] != o.tag() {
		return 0, problem(fmt.Sprintf("Invalid bookmark: %s is not one of this Durable Object.", text))
	}
	return strconv.ParseUint(m[1]+m[2], 16, 64)
}
