package analytics

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxPointBody bounds what one point may make us read: each byte of a blob comes
// as a number of up to three digits.
const maxPointBody = 256 << 10

// service is what workerd's binding speaks to, for one data set: POST / with a
// point for each writeDataPoint(). It is answered before the point is on disk.
type service struct {
	store   *Store
	dataset string
}

func (s service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPointBody))
	if err != nil {
		http.Error(w, "the data point cannot be read", http.StatusBadRequest)
		return
	}
	p, err := decodePoint(body)
	if err == nil {
		err = s.store.Write(s.dataset, p)
	}
	if err != nil {
		// Nobody hears of it. The runtime sends nothing that is beyond a limit.
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// decodePoint reads the JSON that the runtime makes of its struct: bytes are
// arrays of numbers, whole numbers of 64 bits are strings.
//
// Source: src/workerd/api/analytics-engine.capnp of workerd
func decodePoint(body []byte) (p Point, err error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return p, fmt.Errorf("data point: %w", err)
	}
	var ns string
	if err := json.Unmarshal(fields["timestamp"], &ns); err != nil {
		return p, errors.New("data point: it has no timestamp")
	}
	n, err := strconv.ParseInt(ns, 10, 64)
	if err != nil {
		return p, fmt.Errorf("data point: timestamp: %w", err)
	}
	p.Time = time.Unix(0, n)
	for name, raw := range fields {
		if name == "index1" {
			if p.Index, err = decodeBytes(raw); err != nil {
				return p, fmt.Errorf("data point: %s: %w", name, err)
			}
		}
		if i := position(name, "blob", MaxBlobs); i > 0 {
			for len(p.Blobs) < i {
				p.Blobs = append(p.Blobs, "")
			}
			p.Blobs[i-1], err = decodeBytes(raw)
		} else if i := position(name, "double", MaxDoubles); i > 0 {
			for len(p.Doubles) < i {
				p.Doubles = append(p.Doubles, 0)
			}
			p.Doubles[i-1], err = decodeDouble(raw)
		}
		if err != nil {
			return p, fmt.Errorf("data point: %s: %w", name, err)
		}
	}
	return p, nil
}

// position is the number at the end of a column's name; 0 if it is no such one.
func position(name, kind string, last int) int {
	rest, ok := strings.CutPrefix(name, kind)
	n, err := strconv.Atoi(rest)
	if !ok || err != nil || n < 1 || n > last {
		return 0
	}
	return n
}

func decodeBytes(raw []byte) (string, error) {
	var list []uint16
	if err := json.Unmarshal(raw, &list); err != nil {
		return "", err
	}
	b := make([]byte, len(list))
	for i, n := range list {
		if n > math.MaxUint8 {
			return "", fmt.Errorf("%d is not a byte", n)
		}
		b[i] = byte(n)
	}
	return strings.ToValidUTF8(string(b), "\ufffd"), nil
}

// decodeDouble reads a number, or the words that stand for those that JSON does
// not have.
func decodeDouble(raw []byte) (float64, error) {
	var f float64
	if json.Unmarshal(raw, &f) == nil {
		return f, nil
	}
	var word string
	if err := json.Unmarshal(raw, &word); err != nil {
		return 0, err
	}
	switch word {
	case "NaN":
		return math.NaN(), nil
	case "Infinity":
		return math.Inf(1), nil
	case "-Infinity":
		return math.Inf(-1), nil
	}
	return 0, fmt.Errorf("%q is not a number", word)
}
