package analytics

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/selvage-edge/selvage/storage/sqlite"
)

// errTooMuch: the functions of this file hold as much as a query may.
var errTooMuch = errors.New("the query holds too many values in its aggregate functions")

// session is what belongs to a connection: how much the functions of the query
// that runs may still hold, and what they said last.
type session struct {
	left  int64
	err   error
	zones zones
}

// hold takes memory for the time of the query.
func (s *session) hold(bytes int) error {
	if s.left -= int64(bytes); s.left < 0 {
		return s.fail(errTooMuch)
	}
	return nil
}

// fail keeps an error, of which SQLite knows the text only.
func (s *session) fail(err error) error {
	if s.err == nil {
		s.err = err
	}
	return err
}

// setUp gives a new connection the functions that compile.go calls.
func setUp(c *sqlite.Conn) error {
	s := &session{zones: zones{}}
	c.Note = s
	var errs []error
	scalar := func(name string, arguments int, f func(a []sqlite.Value) (any, error)) {
		errs = append(errs, c.Function(name, arguments, func(a []sqlite.Value) (any, error) {
			for _, v := range a {
				if v.Type() == sqlite.Null {
					return nil, nil // not a number, or divided by zero
				}
			}
			v, err := f(a)
			if err != nil {
				s.fail(err)
			}
			return v, err
		}))
	}
	s.texts(scalar)
	s.numbers(scalar)
	s.times(scalar)
	aggregate := func(name string, arguments int, create func() sqlite.Aggregator) {
		errs = append(errs, c.Aggregate(name, arguments, create))
	}
	aggregate("wae_quantile", 3, func() sqlite.Aggregator { return &quantiles{session: s} })
	aggregate("wae_topk", 3, func() sqlite.Aggregator { return &top{session: s, weights: map[any]float64{}} })
	aggregate("wae_first", 1, func() sqlite.Aggregator { return &choice{session: s, better: func(any, any) bool { return false }} })
	aggregate("wae_last", 1, func() sqlite.Aggregator { return &choice{session: s, better: func(any, any) bool { return true }} })
	aggregate("wae_argmin", 2, func() sqlite.Aggregator {
		return &choice{session: s, better: func(n, o any) bool { return less(n, o) }}
	})
	aggregate("wae_argmax", 2, func() sqlite.Aggregator {
		return &choice{session: s, better: func(n, o any) bool { return less(o, n) }}
	})
	return errors.Join(errs...)
}

type register func(name string, arguments int, f func(a []sqlite.Value) (any, error))

// maxText bounds a string that a function makes.
const maxText = 1 << 20

func (s *session) texts(scalar register) {
	scalar("wae_like", 3, func(a []sqlite.Value) (any, error) {
		subject, pattern := a[0].Text(), a[1].Text()
		if a[2].Bool() {
			subject, pattern = strings.ToLower(subject), strings.ToLower(pattern)
		}
		return like(subject, pattern), nil
	})
	scalar("wae_lower", 1, func(a []sqlite.Value) (any, error) { return strings.ToLower(a[0].Text()), nil })
	scalar("wae_upper", 1, func(a []sqlite.Value) (any, error) { return strings.ToUpper(a[0].Text()), nil })
	scalar("wae_starts", 2, func(a []sqlite.Value) (any, error) { return strings.HasPrefix(a[0].Text(), a[1].Text()), nil })
	scalar("wae_ends", 2, func(a []sqlite.Value) (any, error) { return strings.HasSuffix(a[0].Text(), a[1].Text()), nil })
	scalar("wae_format", -1, func(a []sqlite.Value) (any, error) { return fill(a[0].Text(), a[1:]) })
	scalar("wae_hex", 1, func(a []sqlite.Value) (any, error) {
		if a[0].Type() == sqlite.Text {
			return strings.ToUpper(fmt.Sprintf("%x", a[0].Text())), nil
		}
		if a[0].Type() == sqlite.Float {
			return fmt.Sprintf("%016X", bits.ReverseBytes64(math.Float64bits(a[0].Float()))), nil
		}
		text := fmt.Sprintf("%X", uint64(a[0].Int64()))
		return strings.Repeat("0", len(text)%2) + text, nil
	})
	scalar("wae_bin", 1, func(a []sqlite.Value) (any, error) {
		if a[0].Type() == sqlite.Text {
			var b strings.Builder
			for _, c := range []byte(a[0].Text()) {
				fmt.Fprintf(&b, "%08b", c)
			}
			return b.String(), nil
		}
		n := uint64(a[0].Int64())
		if a[0].Type() == sqlite.Float {
			n = bits.ReverseBytes64(math.Float64bits(a[0].Float()))
		}
		text := strconv.FormatUint(n, 2)
		return strings.Repeat("0", (8-len(text)%8)%8) + text, nil
	})
}

// like reports whether a string matches a pattern, in which % is any text and _
// any character; a backslash takes their meaning away. It takes no more steps
// than the product of both lengths.
func like(subject, pattern string) bool {
	var retry, from = "", -1 // after the last %, and where in subject it went on
	at := 0
	for at < len(subject) || pattern != "" {
		if strings.HasPrefix(pattern, "%") {
			pattern = pattern[1:]
			retry, from = pattern, at
			continue
		}
		if pattern != "" && at < len(subject) {
			rest := pattern
			escaped := rest[0] == '\\' && len(rest) > 1 && strings.IndexByte(`%_\`, rest[1]) >= 0
			if escaped {
				rest = rest[1:]
			}
			wanted, m := utf8.DecodeRuneInString(rest)
			got, n := utf8.DecodeRuneInString(subject[at:])
			if wanted == got || wanted == '_' && !escaped {
				pattern, at = rest[m:], at+n
				continue
			}
		}
		if from < 0 || from >= len(subject) {
			return false
		}
		_, n := utf8.DecodeRuneInString(subject[from:])
		from += n
		pattern, at = retry, from
	}
	return true
}

// fill puts values in the places {} of a format.
func fill(format string, values []sqlite.Value) (any, error) {
	var b strings.Builder
	for i := 0; ; i++ {
		before, after, found := strings.Cut(format, "{}")
		if strings.ContainsAny(before, "{}") {
			return nil, invalid("a format has {} only, and no other brackets")
		}
		b.WriteString(before)
		if !found {
			if i != len(values) {
				return nil, invalid("the format has %d {}, and there are %d values", i, len(values))
			}
			return b.String(), nil
		}
		if i >= len(values) {
			return nil, invalid("the format has more {} than the %d values", len(values))
		}
		b.WriteString(values[i].Text())
		if format = after; b.Len() > maxText {
			return nil, invalid("format makes a string of more than %d bytes", maxText)
		}
	}
}

func (s *session) numbers(scalar register) {
	scalar("wae_log", 1, func(a []sqlite.Value) (any, error) { return finite(math.Log(a[0].Float())), nil })
	scalar("wae_pow", 2, func(a []sqlite.Value) (any, error) { return finite(math.Pow(a[0].Float(), a[1].Float())), nil })
	scalar("wae_mod", 2, func(a []sqlite.Value) (any, error) { return finite(math.Mod(a[0].Float(), a[1].Float())), nil })
	scalar("wae_round", 3, func(a []sqlite.Value) (any, error) {
		scale := math.Pow(10, float64(max(-30, min(a[2].Int64(), 30))))
		f := map[string]func(float64) float64{"round": math.RoundToEven, "floor": math.Floor, "ceil": math.Ceil}[a[0].Text()]
		x := a[1].Float()
		if y := f(x*scale) / scale; !math.IsInf(y, 0) {
			x = y
		}
		return x, nil
	})
	scalar("wae_uint", 2, func(a []sqlite.Value) (any, error) {
		if a[0].Type() == sqlite.Text {
			n, err := strconv.ParseUint(a[0].Text(), 10, 64)
			if err != nil {
				return nil, invalid("the string %q is not a whole number", a[0].Text())
			}
			return int64(n & (1<<a[1].Int64() - 1)), nil
		}
		return int64(uint64(integerOf(a[0])) & (1<<a[1].Int64() - 1)), nil
	})
	scalar("wae_bit", 4, func(a []sqlite.Value) (any, error) {
		x, y := uint64(integerOf(a[1])), uint64(integerOf(a[2]))
		if a[1].Type() == sqlite.Float {
			x = math.Float64bits(a[1].Float())
		}
		return bit(a[0].Text(), x, y, uint64(a[3].Int64())), nil
	})
}

// integerOf cuts off what follows the point.
func integerOf(v sqlite.Value) int64 {
	if v.Type() != sqlite.Float {
		return v.Int64()
	}
	f := v.Float()
	switch {
	case f >= math.MaxInt64:
		return math.MaxInt64
	case f <= math.MinInt64:
		return math.MinInt64
	}
	return int64(f)
}

// finite makes nil of what is not a number.
func finite(f float64) any {
	if math.IsNaN(f) {
		return nil
	}
	return f
}

// bit works on numbers of so many bits.
func bit(what string, x, y, width uint64) int64 {
	mask := uint64(math.MaxUint64) >> (64 - width)
	x &= mask
	var z uint64
	switch what {
	case "and":
		z = x & y
	case "or":
		z = x | y
	case "xor":
		z = x ^ y
	case "not":
		z = ^x
	case "left":
		z = x << min(y, 64)
	case "right":
		z = x >> min(y, 64)
	case "rotateleft":
		z = x<<(y%width) | x>>(width-y%width)
	case "rotateright":
		z = x>>(y%width) | x<<(width-y%width)
	case "count":
		return int64(bits.OnesCount64(x))
	case "distance":
		return int64(bits.OnesCount64(x ^ y&mask))
	case "test":
		return int64(x >> min(y, 64) & 1)
	}
	return int64(z & mask)
}

func (s *session) times(scalar register) {
	at := func(seconds, zone sqlite.Value) time.Time { return s.zones.at(seconds.Int64(), zone.Text()) }
	scalar("wae_time", 2, func(a []sqlite.Value) (any, error) {
		return parseTime(a[0].Text(), at(a[0], a[1]).Location())
	})
	scalar("wae_date", 3, func(a []sqlite.Value) (any, error) { return formatTime(at(a[0], a[2]), a[1].Text()) })
	scalar("wae_add", 4, func(a []sqlite.Value) (any, error) {
		return shift(at(a[0], a[3]), a[1].Int(), a[2].Text()).Unix(), nil
	})
	scalar("wae_start", 4, func(a []sqlite.Value) (any, error) {
		return start(at(a[0], a[3]), a[1].Int(), a[2].Text()).Unix(), nil
	})
	scalar("wae_part", 3, func(a []sqlite.Value) (any, error) {
		return int64(partOf(at(a[0], a[2]), a[1].Text())), nil
	})
}
