// Package cron reads Cloudflare's cron expressions and fires Workers' cron
// triggers on the minute, in UTC.
//
// The dialect is Quartz's in five fields: minute, hour, day of month, month,
// day of week. Weekdays run from 1 (Sunday) to 7 (Saturday), or SUN to SAT;
// "L" is the last day (of the month, or the last such weekday), "15W" the
// weekday nearest to the 15th, "2#1" the first Monday. When both day fields are
// restricted, a day that matches either fires.
//
// A trigger that falls into a time when no server runs is not made up for, as
// on Cloudflare. None fires twice for one minute, whatever is killed or becomes of
// the clock; see [History].
//
// Source: https://developers.cloudflare.com/workers/configuration/cron-triggers/
package cron

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Expression is a parsed cron expression. It is immutable.
type Expression struct {
	minute, hour, month uint64 // bit n: value n fires
	days                dayField
	weekdays            dayField
}

// dayField is a field whose meaning depends on the month.
type dayField struct {
	any     bool
	bits    uint64
	special []func(day time.Time) bool
}

func (f *dayField) matches(value int, day time.Time) bool {
	if f.bits&(1<<value) != 0 {
		return true
	}
	for _, s := range f.special {
		if s(day) {
			return true
		}
	}
	return false
}

var (
	months   = names("JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC", 1)
	weekdays = names("SUN MON TUE WED THU FRI SAT", 1)
)

func names(list string, first int) map[string]int {
	m := map[string]int{}
	for i, n := range strings.Fields(list) {
		m[n] = first + i
	}
	return m
}

// Parse reads an expression of five fields.
func Parse(text string) (*Expression, error) {
	fields := strings.Fields(text)
	if len(fields) != 5 {
		return nil, fmt.Errorf("cron expression %q: has %d fields, expected 5: minute hour day-of-month month day-of-week", text, len(fields))
	}
	var e Expression
	var err error
	fail := func(what string) (*Expression, error) {
		return nil, fmt.Errorf("cron expression %q: %s: %w", text, what, err)
	}
	if e.minute, err = parseBits(fields[0], 0, 59, nil); err != nil {
		return fail("minute")
	}
	if e.hour, err = parseBits(fields[1], 0, 23, nil); err != nil {
		return fail("hour")
	}
	if e.days, err = parseDays(fields[2]); err != nil {
		return fail("day of month")
	}
	if e.month, err = parseBits(fields[3], 1, 12, months); err != nil {
		return fail("month")
	}
	if e.weekdays, err = parseWeekdays(fields[4]); err != nil {
		return fail("day of week")
	}
	return &e, nil
}

// Matches reports whether the expression fires in the minute of t.
func (e *Expression) Matches(t time.Time) bool {
	t = t.UTC()
	if e.minute&(1<<t.Minute()) == 0 || e.hour&(1<<t.Hour()) == 0 || e.month&(1<<int(t.Month())) == 0 {
		return false
	}
	day := e.days.any || e.days.matches(t.Day(), t)
	weekday := e.weekdays.any || e.weekdays.matches(int(t.Weekday())+1, t)
	if e.days.any || e.weekdays.any {
		return day && weekday
	}
	return day || weekday
}

// parseBits reads a list of values, ranges and steps.
func parseBits(field string, low, high int, names map[string]int) (bits uint64, err error) {
	for part := range strings.SplitSeq(field, ",") {
		b, err := parseRange(part, low, high, names)
		if err != nil {
			return 0, err
		}
		bits |= b
	}
	return bits, nil
}

func parseRange(part string, low, high int, names map[string]int) (bits uint64, err error) {
	span, stepText, stepped := strings.Cut(part, "/")
	step := 1
	if stepped {
		if step, err = strconv.Atoi(stepText); err != nil || step < 1 || step > high {
			return 0, fmt.Errorf("step %q is not a number from 1 to %d", stepText, high)
		}
	}
	from, to := low, high
	if span != "*" {
		first, last, ranged := strings.Cut(span, "-")
		if from, err = parseValue(first, low, high, names); err != nil {
			return 0, err
		}
		switch {
		case ranged:
			if to, err = parseValue(last, low, high, names); err != nil {
				return 0, err
			}
			if to < from {
				return 0, fmt.Errorf("range %q runs backwards", span)
			}
		case !stepped:
			to = from
		}
	}
	for v := from; v <= to; v += step {
		bits |= 1 << v
	}
	return bits, nil
}

func parseValue(text string, low, high int, names map[string]int) (int, error) {
	if n, ok := names[strings.ToUpper(text)]; ok {
		return n, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < low || n > high || strings.HasPrefix(text, "+") {
		return 0, fmt.Errorf("%q is not a value from %d to %d", text, low, high)
	}
	return n, nil
}

func parseDays(field string) (f dayField, err error) {
	if field == "*" || field == "?" {
		return dayField{any: true}, nil
	}
	for part := range strings.SplitSeq(strings.ToUpper(field), ",") {
		switch {
		case part == "L":
			f.special = append(f.special, func(day time.Time) bool { return day.Day() == lastDay(day) })
		case part == "LW":
			f.special = append(f.special, func(day time.Time) bool { return day.Day() == nearestWeekday(day, lastDay(day)) })
		case strings.HasPrefix(part, "L-"):
			n, err := parseValue(part[2:], 1, 30, nil)
			if err != nil {
				return f, err
			}
			f.special = append(f.special, func(day time.Time) bool { return day.Day() == lastDay(day)-n })
		case strings.HasSuffix(part, "W"):
			n, err := parseValue(strings.TrimSuffix(part, "W"), 1, 31, nil)
			if err != nil {
				return f, err
			}
			f.special = append(f.special, func(day time.Time) bool {
				return n <= lastDay(day) && day.Day() == nearestWeekday(day, n)
			})
		default:
			bits, err := parseRange(part, 1, 31, nil)
			if err != nil {
				return f, err
			}
			f.bits |= bits
		}
	}
	return f, nil
}

func parseWeekdays(field string) (f dayField, err error) {
	if field == "*" || field == "?" {
		return dayField{any: true}, nil
	}
	for part := range strings.SplitSeq(strings.ToUpper(field), ",") {
		weekday, nth, numbered := strings.Cut(part, "#")
		last := len(part) > 1 && strings.HasSuffix(part, "L") // "6L", "FRIL"; a bare "L" is Saturday
		switch {
		case part == "L":
			f.bits |= 1 << 7
		case numbered:
			w, err := parseValue(weekday, 1, 7, weekdays)
			if err != nil {
				return f, err
			}
			n, err := parseValue(nth, 1, 5, nil)
			if err != nil {
				return f, err
			}
			f.special = append(f.special, func(day time.Time) bool {
				return int(day.Weekday())+1 == w && (day.Day()-1)/7+1 == n
			})
		case last:
			w, err := parseValue(strings.TrimSuffix(part, "L"), 1, 7, weekdays)
			if err != nil {
				return f, err
			}
			f.special = append(f.special, func(day time.Time) bool {
				return int(day.Weekday())+1 == w && day.Day()+7 > lastDay(day)
			})
		default:
			bits, err := parseRange(part, 1, 7, weekdays)
			if err != nil {
				return f, err
			}
			f.bits |= bits
		}
	}
	return f, nil
}

// lastDay is the number of days in the month of day.
func lastDay(day time.Time) int {
	return time.Date(day.Year(), day.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

// nearestWeekday is the day from Monday to Friday nearest to day n of the month
// of day, without leaving the month.
func nearestWeekday(day time.Time, n int) int {
	switch time.Date(day.Year(), day.Month(), n, 0, 0, 0, 0, time.UTC).Weekday() {
	case time.Saturday:
		if n == 1 {
			return n + 2
		}
		return n - 1
	case time.Sunday:
		if n == lastDay(day) {
			return n - 2
		}
		return n + 1
	}
	return n
}
