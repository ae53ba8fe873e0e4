package rules

import (
	"strings"
	"unicode/utf8"
)

// The limits of an expression. Source of maxLength:
// https://developers.cloudflare.com/ruleset-engine/rules-language/expressions/edit-expressions/
const (
	maxLength = 4096 // characters
	maxDepth  = 128  // of what stands inside each other
)

// Parse reads an expression. The error is an *Error.
func Parse(source string) (*Expression, error) {
	p := parser{scanner: scanner{source: source}}
	root, err := p.whole()
	if err != nil {
		return nil, err
	}
	return &Expression{source, root}, nil
}

type parser struct {
	scanner
	depth int
}

func (p *parser) whole() (node, error) {
	if n := utf8.RuneCountInString(p.source); n > maxLength {
		return nil, p.fail(span{}, "the expression has %d characters; at most %d are allowed", n, maxLength)
	}
	if !utf8.ValidString(p.source) {
		return nil, p.fail(span{}, "the expression is not valid UTF-8")
	}
	p.space()
	n, err := p.expression()
	if err != nil {
		return nil, err
	}
	if p.space(); p.at < len(p.source) {
		return nil, p.fail(p.here(), "expected and, or, xor, or the end of the expression; %s", p.found())
	}
	return n, nil
}

// deeper counts what stands inside each other.
func (p *parser) deeper() (func(), error) {
	if p.depth++; p.depth > maxDepth {
		return nil, p.fail(p.here(), "the expression is nested more than %d deep", maxDepth)
	}
	return func() { p.depth-- }, nil
}

// operators of logic, from the one that binds least. C's notation is the second.
var logical = [][2]string{{"or", "||"}, {"xor", "^^"}, {"and", "&&"}}

func (p *parser) expression() (node, error) {
	done, err := p.deeper()
	if err != nil {
		return nil, err
	}
	defer done()
	return p.level(0)
}

// level reads items combined by the operator at i, or more tightly.
func (p *parser) level(i int) (node, error) {
	if i == len(logical) {
		return p.simple()
	}
	first, err := p.level(i + 1)
	if err != nil {
		return nil, err
	}
	items := []node{first}
	for p.combined(logical[i]) {
		p.space()
		x, err := p.level(i + 1)
		if err != nil {
			return nil, err
		}
		items = append(items, x)
	}
	if len(items) == 1 {
		return first, nil
	}
	return &logic{between(first.where(), items[len(items)-1].where()), logical[i][0], items}, nil
}

// combined reads an operator if it is next.
func (p *parser) combined(op [2]string) bool {
	before := p.at
	p.space()
	if p.peek() == op[0] {
		p.at += len(op[0])
		return true
	}
	if p.take(op[1]) {
		return true
	}
	p.at = before
	return false
}

func (p *parser) simple() (node, error) {
	from := p.at
	switch {
	case p.take("("):
		p.space()
		x, err := p.expression()
		if err != nil {
			return nil, err
		}
		if err := p.closing(")", from); err != nil {
			return nil, err
		}
		return &group{span{from, p.at}, x}, nil
	case p.peek() == "not", strings.HasPrefix(p.rest(), "!"):
		done, err := p.deeper()
		if err != nil {
			return nil, err
		}
		defer done()
		if !p.take("!") {
			p.take("not")
		}
		p.space()
		x, err := p.simple()
		if err != nil {
			return nil, err
		}
		return &not{span{from, p.at}, x}, nil
	}
	x, err := p.operand()
	if err != nil {
		return nil, err
	}
	return p.comparison(x)
}

// closing reads what ends the part that began at from.
func (p *parser) closing(text string, from int) error {
	if p.space(); p.take(text) {
		return nil
	}
	if p.at == len(p.source) {
		return p.fail(span{from, from + 1}, "the closing %q is missing", text)
	}
	return p.fail(p.here(), "expected %q; %s", text, p.found())
}

// operand reads a field, a call or a literal, with what is in brackets after it.
func (p *parser) operand() (x node, err error) {
	if p.isString() {
		return p.text(false)
	}
	if p.isWord() {
		return p.word()
	}
	name, at := p.name()
	if name == "" {
		return nil, p.fail(p.here(), "expected a field, a function, or not; %s", p.found())
	}
	x = &field{at, name}
	t := p.scanner
	if t.space(); t.take("(") {
		p.scanner = t
		if x, err = p.call(name, at); err != nil {
			return nil, err
		}
	}
	for {
		from := p.at
		if !p.take("[") {
			return x, nil
		}
		p.space()
		var key *literal
		switch {
		case p.take("*"):
		case p.isString():
			key, err = p.text(false)
		default:
			key, err = p.word()
		}
		if err != nil {
			return nil, err
		}
		if err := p.closing("]", from); err != nil {
			return nil, err
		}
		x = &index{span{at.from, p.at}, x, key, span{from, p.at}}
	}
}

// call reads on after the opening parenthesis.
func (p *parser) call(name string, at span) (node, error) {
	done, err := p.deeper()
	if err != nil {
		return nil, err
	}
	defer done()
	c := &call{name: name, at: at}
	open := p.at - 1
	p.space()
	for !p.take(")") {
		if len(c.args) > 0 {
			if !p.take(",") {
				return nil, p.closing(")", open)
			}
			p.space()
		}
		x, err := p.expression()
		if err != nil {
			return nil, err
		}
		c.args = append(c.args, x)
		p.space()
	}
	c.span = span{at.from, p.at}
	return c, nil
}

// symbols are the operators of comparison in C's notation; the longer first.
var symbols = [][2]string{
	{"==", "eq"}, {"!=", "ne"}, {"<=", "le"}, {">=", "ge"}, {"<", "lt"}, {">", "gt"}, {"~", "matches"}, {"&", "bitwise_and"},
}

var words = map[string]bool{
	"eq": true, "ne": true, "lt": true, "le": true, "gt": true, "ge": true, "contains": true, "matches": true,
	"wildcard": true, "in": true, "bitwise_and": true,
}

// operator reads an operator of comparison; empty if none is next.
func (p *parser) operator() (string, span) {
	from := p.at
	for _, s := range symbols {
		if s[0] == "&" && strings.HasPrefix(p.rest(), "&&") {
			continue
		}
		if p.take(s[0]) {
			return s[1], span{from, p.at}
		}
	}
	switch name := p.peek(); {
	case words[name]:
		p.at += len(name)
		return name, span{from, p.at}
	case name == "strict":
		p.at += len(name)
		if p.space(); p.peek() == "wildcard" {
			p.at += len("wildcard")
			return "strict wildcard", span{from, p.at}
		}
	}
	p.at = from
	return "", span{}
}

func (p *parser) comparison(x node) (node, error) {
	before := p.at
	p.space()
	op, at := p.operator()
	if op == "" {
		if name := p.peek(); name == "starts_with" || name == "ends_with" {
			return nil, p.fail(span{p.at, p.at + len(name)}, "%s is a function: write %s(%s, …)", name, name, p.source[x.where().from:x.where().to])
		}
		p.at = before
		return x, nil
	}
	p.space()
	var y node
	var err error
	switch {
	case op == "in":
		y, err = p.values()
	case p.isString():
		y, err = p.text(op == "matches")
	default:
		y, err = p.word()
	}
	if err != nil {
		return nil, err
	}
	return &compare{between(x.where(), y.where()), x, op, y, at}, nil
}

// values reads what comes after in: {…} or $name.
func (p *parser) values() (node, error) {
	from := p.at
	if p.take("$") {
		for p.at < len(p.source) && (isLetter(p.source[p.at]) || isDigit(p.source[p.at]) || p.source[p.at] == '.') {
			p.at++
		}
		name := p.source[from+1 : p.at]
		if name == "" || strings.ToLower(name) != name || strings.Trim(name, ".") != name {
			return nil, p.fail(span{from, max(p.at, from+1)}, "a list's name has lower-case letters, digits and _, as in $office_network")
		}
		return &listName{span{from, p.at}, name}, nil
	}
	if !p.take("{") {
		return nil, p.fail(p.here(), "in needs values such as {1 2} or a list such as $name; %s", p.found())
	}
	s := &set{}
	for {
		if p.space(); p.take("}") {
			s.span = span{from, p.at}
			return s, nil
		}
		if p.at == len(p.source) {
			return nil, p.closing("}", from)
		}
		x, err := p.value()
		if err != nil {
			return nil, err
		}
		it := item{from: x}
		if x.kind == word && p.take("..") {
			if it.to, err = p.word(); err != nil {
				return nil, err
			}
		}
		s.items = append(s.items, it)
	}
}

func (p *parser) value() (*literal, error) {
	if p.isString() {
		return p.text(false)
	}
	if p.take(",") {
		return nil, p.fail(span{p.at - 1, p.at}, "values are separated by spaces, not commas")
	}
	return p.word()
}
