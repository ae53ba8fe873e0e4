package analytics

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // names of time zones mean the same on every machine
)

// timeFunctions are those on dates and times.
var timeFunctions = map[string]function{
	"now": {0, 0, "a", func(c *compiler, _ []value) (string, typ, error) { return c.bind(c.now.Unix()), timeType, nil }},
	"today": {0, 0, "a", func(c *compiler, _ []value) (string, typ, error) {
		return c.bind(c.now.Truncate(24 * time.Hour).Unix()), typ{class: date}, nil
	}},
	"todatetime": {1, 2, "as", toDateTime},
	"formatdatetime": {2, 3, "tss", func(c *compiler, a []value) (string, typ, error) {
		name := a[0].typ.zone
		if len(a) == 3 {
			var err error
			if name, err = zone(a[2]); err != nil {
				return "", typ{}, err
			}
		}
		return calling("wae_date", a[0], a[1], c.bind(name)), stringType, nil
	}},
	"tounixtimestamp": {1, 1, "t", func(_ *compiler, a []value) (string, typ, error) { return a[0].sql, uint32Type, nil }},
	"tostartofinterval": {2, 3, "tis", func(c *compiler, a []value) (string, typ, error) {
		t := typ{class: dateTime, zone: a[0].typ.zone}
		if len(a) == 3 {
			var err error
			if t.zone, err = zone(a[2]); err != nil {
				return "", t, err
			}
		}
		i := a[1].literal.(interval)
		if i.n < 1 {
			return "", t, invalid("the interval of toStartOfInterval must be positive, not %d", i.n)
		}
		return calling("wae_start", a[0], c.bind(i.n), c.bind(i.unit), c.bind(t.zone)), t, nil
	}},
	"tostartofyear": startOf(1, "YEAR", date), "tostartofmonth": startOf(1, "MONTH", date), "tostartofweek": startOf(1, "WEEK", date),
	"tostartofday": startOf(1, "DAY", dateTime), "tostartofhour": startOf(1, "HOUR", dateTime),
	"tostartoffifteenminutes": startOf(15, "MINUTE", dateTime), "tostartoftenminutes": startOf(10, "MINUTE", dateTime),
	"tostartoffiveminutes": startOf(5, "MINUTE", dateTime), "tostartofminute": startOf(1, "MINUTE", dateTime),
	"toyear": part("YEAR", 16), "tomonth": part("MONTH", 8), "todayofmonth": part("DAY", 8), "todayofweek": part("WEEKDAY", 8),
	"tohour": part("HOUR", 8), "tominute": part("MINUTE", 8), "tosecond": part("SECOND", 8), "toyyyymm": part("YYYYMM", 32),
	"extract": {2, 2, "st", func(c *compiler, a []value) (string, typ, error) {
		return calling("wae_part", a[1], a[0], c.bind(a[1].typ.zone)), typ{class: integer, bits: 16}, nil
	}},
}

func startOf(n int64, unit string, result class) function {
	return function{1, 1, "t", func(c *compiler, a []value) (string, typ, error) {
		t := typ{class: result}
		if result == dateTime {
			t.zone = a[0].typ.zone
		}
		return calling("wae_start", a[0], c.bind(n), c.bind(unit), c.bind(a[0].typ.zone)), t, nil
	}}
}

func part(unit string, bits int) function {
	return function{1, 1, "t", func(c *compiler, a []value) (string, typ, error) {
		return calling("wae_part", a[0], c.bind(unit), c.bind(a[0].typ.zone)), typ{class: integer, bits: bits}, nil
	}}
}

func toDateTime(c *compiler, a []value) (string, typ, error) {
	t := timeType
	if len(a) == 2 {
		var err error
		if t.zone, err = zone(a[1]); err != nil {
			return "", t, err
		}
	}
	if s, ok := a[0].literal.(string); ok {
		sql, err := c.writtenTime(s, t)
		return sql, t, err
	}
	switch {
	case a[0].typ.class == text:
		return calling("wae_time", a[0], c.bind(t.zone)), t, nil
	case a[0].typ.number() || a[0].typ.time():
		return calling("CAST", a[0].sql+" AS INTEGER"), t, nil
	}
	return "", t, invalid("toDateTime does not take %s", a[0].typ)
}

// writtenTime is a time that a query has as a string.
func (c *compiler) writtenTime(s string, t typ) (string, error) {
	at, err := parseTime(s, t.location())
	if err != nil {
		return "", err
	}
	return c.bind(at), nil
}

// parseTime reads YYYY-MM-DD with or without hh:mm:ss, or seconds since 1970.
func parseTime(s string, in *time.Location) (int64, error) {
	for _, layout := range []string{time.DateTime, time.DateOnly} {
		if t, err := time.ParseInLocation(layout, s, in); err == nil {
			return t.Unix(), nil
		}
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n >= 0 {
		return n, nil
	}
	return 0, invalid("%q is not a time of the form YYYY-MM-DD hh:mm:ss; time zones are a second argument of toDateTime", s)
}

// shift adds n units to a time.
func shift(t time.Time, n int, unit string) time.Time {
	switch unit {
	case "YEAR":
		return addMonths(t, 12*n)
	case "MONTH":
		return addMonths(t, n)
	case "DAY":
		return t.AddDate(0, 0, n)
	}
	return t.Add(time.Duration(n) * map[string]time.Duration{"HOUR": time.Hour, "MINUTE": time.Minute, "SECOND": time.Second}[unit])
}

// addMonths ends at the last day of a month that is shorter.
func addMonths(t time.Time, n int) time.Time {
	first := time.Date(t.Year(), t.Month()+time.Month(n), 1, t.Hour(), t.Minute(), t.Second(), 0, t.Location())
	last := first.AddDate(0, 1, -1).Day()
	return first.AddDate(0, 0, min(t.Day(), last)-1)
}

// start is the last beginning of n units at or before t. Days, weeks and longer
// begin where t's time zone has them, and are counted from 1970; weeks begin on
// Monday.
func start(t time.Time, n int, unit string) time.Time {
	midnight := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, t.Location())
	switch unit {
	case "YEAR":
		return time.Date(t.Year()-floorMod(t.Year()-1970, n), 1, 1, 0, 0, 0, 0, t.Location())
	case "MONTH":
		months := (t.Year()-1970)*12 + int(t.Month()) - 1
		return time.Date(1970, time.Month(1+months-floorMod(months, n)), 1, 0, 0, 0, 0, t.Location())
	case "WEEK":
		return midnight.AddDate(0, 0, -floorMod(int(t.Weekday())-1, 7))
	case "DAY":
		days := int(time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC).Unix() / 86400)
		return midnight.AddDate(0, 0, -floorMod(days, n))
	}
	// Within a day the clock of the zone counts, whose offset may be half an hour.
	_, offset := t.Zone()
	seconds := int64(n) * map[string]int64{"HOUR": 3600, "MINUTE": 60, "SECOND": 1}[unit]
	local := t.Unix() + int64(offset)
	return t.Add(-time.Duration((local%seconds+seconds)%seconds) * time.Second)
}

func floorMod(a, n int) int { return (a%n + n) % n }

// partOf is a part of a time as a number.
func partOf(t time.Time, unit string) int {
	switch unit {
	case "YEAR":
		return t.Year()
	case "MONTH":
		return int(t.Month())
	case "DAY":
		return t.Day()
	case "WEEKDAY": // Monday is 1
		return floorMod(int(t.Weekday())-1, 7) + 1
	case "HOUR":
		return t.Hour()
	case "MINUTE":
		return t.Minute()
	case "SECOND":
		return t.Second()
	}
	return t.Year()*100 + int(t.Month())
}

// layouts are the letters of formatDateTime that package time knows.
//
// Source: https://clickhouse.com/docs/sql-reference/functions/date-time-functions#formatdatetime
var layouts = map[byte]string{
	'a': "Mon", 'b': "Jan", 'd': "02", 'D': "01/02/06", 'e': "_2", 'F': "2006-01-02", 'h': "03", 'H': "15", 'i': "04", 'I': "03",
	'k': "15", 'l': "03", 'm': "01", 'M': "January", 'p': "PM", 'r': "03:04 PM", 'R': "15:04", 's': "05", 'S': "05", 'T': "15:04:05",
	'W': "Monday", 'y': "06", 'Y': "2006", 'z': "-0700",
}

// formatTime writes t as a format of formatDateTime says.
func formatTime(t time.Time, format string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			b.WriteByte(format[i])
			continue
		}
		i++
		year, week := t.ISOWeek()
		switch c := format[i]; c {
		case '%':
			b.WriteByte('%')
		case 'n':
			b.WriteByte('\n')
		case 't':
			b.WriteByte('\t')
		case 'c':
			fmt.Fprint(&b, int(t.Month()))
		case 'C':
			fmt.Fprintf(&b, "%02d", t.Year()/100)
		case 'f':
			b.WriteString("000000") // times are whole seconds
		case 'g':
			fmt.Fprintf(&b, "%02d", year%100)
		case 'G':
			fmt.Fprintf(&b, "%04d", year)
		case 'j':
			fmt.Fprintf(&b, "%03d", t.YearDay())
		case 'Q':
			fmt.Fprint(&b, (int(t.Month())+2)/3)
		case 'u':
			fmt.Fprint(&b, partOf(t, "WEEKDAY"))
		case 'V':
			fmt.Fprintf(&b, "%02d", week)
		case 'w':
			fmt.Fprint(&b, int(t.Weekday()))
		default:
			layout, ok := layouts[c]
			if !ok {
				return "", invalid("unsupported format of formatDateTime: %%%c", c)
			}
			b.WriteString(t.Format(layout))
		}
	}
	return b.String(), nil
}

// zones keeps locations, which are slow to load. It is for one connection, and
// a query has few.
type zones map[string]*time.Location

func (z zones) at(seconds int64, name string) time.Time {
	l := z[name]
	if l == nil {
		if len(z) > 100 {
			clear(z)
		}
		l = typ{zone: name}.location()
		z[name] = l
	}
	return time.Unix(seconds, 0).In(l)
}
