package analytics

import (
	"fmt"
	"time"
)

// class is the family of a type.
type class int

const (
	text class = iota
	integer
	float
	boolean
	dateTime // seconds since 1970
	date     // seconds since 1970 of its first moment in UTC
	span     // an interval, which no column has
	array    // JSON
)

// typ is the type of an expression, as ClickHouse names them.
type typ struct {
	class  class
	bits   int  // of an integer
	signed bool // of an integer
	// zone is that of a dateTime. Empty: UTC, which goes without saying.
	zone string
	// of is the type of an array's elements.
	of *typ
}

var (
	stringType = typ{class: text}
	floatType  = typ{class: float}
	boolType   = typ{class: boolean}
	uint8Type  = typ{class: integer, bits: 8}
	uint32Type = typ{class: integer, bits: 32}
	uint64Type = typ{class: integer, bits: 64}
	int64Type  = typ{class: integer, bits: 64, signed: true}
	timeType   = typ{class: dateTime}
)

// String is the type's name.
func (t typ) String() string {
	switch t.class {
	case text:
		return "String"
	case integer:
		if t.signed {
			return fmt.Sprintf("Int%d", t.bits)
		}
		return fmt.Sprintf("UInt%d", t.bits)
	case float:
		return "Float64"
	case boolean:
		return "Bool"
	case dateTime:
		if t.zone != "" {
			return "DateTime('" + t.zone + "')"
		}
		return "DateTime"
	case date:
		return "Date"
	case span:
		return "Interval"
	}
	return "Array(" + t.of.String() + ")"
}

func (t typ) number() bool { return t.class == integer || t.class == float || t.class == boolean }
func (t typ) time() bool   { return t.class == dateTime || t.class == date }

// location is the time zone in which a time is read; the name was checked.
func (t typ) location() *time.Location {
	l, err := time.LoadLocation(t.zone)
	if err != nil {
		return time.UTC
	}
	return l
}

// wider is the type of an arithmetic result of numbers.
func wider(a, b typ, minus bool) typ {
	if a.class == float || b.class == float {
		return floatType
	}
	return typ{class: integer, bits: min(64, 2*max(a.width(), b.width())), signed: minus || a.signed || b.signed}
}

func (t typ) width() int {
	if t.class == boolean {
		return 8
	}
	return t.bits
}

// common is the type that holds values of both, if there is one.
func common(a, b typ) (typ, bool) {
	switch {
	case a.class == b.class && a.class != integer:
		return a, true
	case a.time() && b.time():
		return timeType, true
	case !a.number() || !b.number():
		return typ{}, false
	case a.class == float || b.class == float:
		return floatType, true
	}
	bits := max(a.width(), b.width())
	if a.signed != b.signed {
		bits = min(64, 2*bits)
	}
	return typ{class: integer, bits: bits, signed: a.signed || b.signed}, true
}

// comparable reports whether two types may be compared.
func comparable(a, b typ) bool {
	_, ok := common(a, b)
	return ok || a.time() && b.class == integer || b.time() && a.class == integer
}

// literalType is the smallest type of a whole number.
func literalType(n uint64) typ {
	for bits := 8; bits < 64; bits *= 2 {
		if n>>bits == 0 {
			return typ{class: integer, bits: bits}
		}
	}
	return uint64Type
}
