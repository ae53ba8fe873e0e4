package rules

import "strings"

// Expression is an expression that follows the grammar. Whether its names exist
// and its types fit is found when it is compiled.
type Expression struct {
	source string
	root   node
}

// String writes e with English operators and single spaces. Parsing the text
// gives the same expression again.
func (e *Expression) String() string {
	var b strings.Builder
	write(&b, e.root)
	return b.String()
}

// node is a part of an expression: one of the types below.
type node interface{ where() span }

type (
	// logic is items combined by one operator: and, or, xor.
	logic struct {
		span
		op    string
		items []node
	}
	not struct {
		span
		x node
	}
	// group is an expression in parentheses.
	group struct {
		span
		x node
	}
	compare struct {
		span
		x  node
		op string // as English; bitwise_and, too
		y  node   // *literal, *set or *listName
		at span   // of the operator
	}
	call struct {
		span
		name string
		at   span // of the name
		args []node
	}
	field struct {
		span
		name string
	}
	// index is x[key], or x[*] without a key.
	index struct {
		span
		x   node
		key *literal
		at  span // of the brackets
	}
	literal struct {
		span
		kind literalKind
		text string // as written
		// value is what a string in quotes says, for a regular expression with only
		// its quotes undone.
		value string
	}
	set struct {
		span
		items []item
	}
	// item is one value of a set, or a range if it has an end.
	item     struct{ from, to *literal }
	listName struct {
		span
		name string
	}
)

type literalKind uint8

const (
	quoted literalKind = iota
	raw
	word // a number, an address, a network, bytes: the type of what it meets decides
)

func write(b *strings.Builder, n node) {
	switch n := n.(type) {
	case *logic:
		for i, x := range n.items {
			if i > 0 {
				b.WriteString(" " + n.op + " ")
			}
			write(b, x)
		}
	case *not:
		b.WriteString("not ")
		write(b, n.x)
	case *group:
		b.WriteByte('(')
		write(b, n.x)
		b.WriteByte(')')
	case *compare:
		write(b, n.x)
		b.WriteString(" " + n.op + " ")
		write(b, n.y)
	case *call:
		b.WriteString(n.name + "(")
		for i, x := range n.args {
			if i > 0 {
				b.WriteString(", ")
			}
			write(b, x)
		}
		b.WriteByte(')')
	case *field:
		b.WriteString(n.name)
	case *index:
		write(b, n.x)
		b.WriteByte('[')
		if n.key != nil {
			write(b, n.key)
		} else {
			b.WriteByte('*')
		}
		b.WriteByte(']')
	case *literal:
		b.WriteString(n.text)
	case *set:
		b.WriteByte('{')
		for i, x := range n.items {
			if i > 0 {
				b.WriteByte(' ')
			}
			write(b, x.from)
			if x.to != nil {
				b.WriteString("..")
				write(b, x.to)
			}
		}
		b.WriteByte('}')
	case *listName:
		b.WriteString("$" + n.name)
	}
}
