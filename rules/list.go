package rules

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/gaissmai/bart"
)

// ListKind says what a list has.
type ListKind string

// The kinds of lists that expressions can name.
//
// Source: https://developers.cloudflare.com/waf/tools/lists/custom-lists/
const (
	IPs       ListKind = "IP addresses"
	Hostnames ListKind = "hostnames"
)

// List is a set of addresses and networks, or of hostnames, that expressions
// refer to as $name. To look an address up takes the same time whether the list
// has ten entries or a million. It is safe for concurrent use and never changes.
type List struct {
	kind  ListKind
	addrs bart.Lite
	hosts hosts
	size  int
}

// NewIPList makes a list of addresses ("192.0.2.1") and networks
// ("2001:db8::/32"). The error names the entry.
func NewIPList(entries []string) (*List, error) {
	l := &List{kind: IPs}
	for _, text := range entries {
		p, err := parseNetwork(text)
		if err != nil {
			return nil, err
		}
		l.addrs.Insert(p)
	}
	l.size = l.addrs.Size()
	return l, nil
}

func parseNetwork(text string) (netip.Prefix, error) {
	if strings.Contains(text, "/") {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return p, fmt.Errorf("%q is not a network such as 192.0.2.0/24", text)
		}
		if p.Masked() != p {
			return p, fmt.Errorf("the network %s has bits after its %d first: write %s", text, p.Bits(), p.Masked())
		}
		return p, nil
	}
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, fmt.Errorf("%q is neither an address nor a network such as 192.0.2.0/24", text)
	}
	return netip.PrefixFrom(a, a.BitLen()), nil
}

// NewHostnameList makes a list of hostnames; "*.example.com" stands for every
// name below example.com, but not for itself. The error names the entry.
func NewHostnameList(entries []string) (*List, error) {
	l := &List{kind: Hostnames, hosts: hosts{map[string]bool{}, map[string]bool{}}}
	for _, text := range entries {
		name := strings.ToLower(text)
		name, any := strings.CutPrefix(name, "*.")
		if name == "" || strings.ContainsAny(name, "*/: ") || strings.Trim(name, ".") != name {
			return nil, fmt.Errorf("%q is not a hostname such as www.example.com or *.example.com", text)
		}
		if any {
			l.hosts.below[name] = true
		} else {
			l.hosts.names[name] = true
		}
	}
	l.size = len(l.hosts.names) + len(l.hosts.below)
	return l, nil
}

// Len is the number of different entries.
func (l *List) Len() int { return l.size }

// Contains reports whether a is in a list of addresses, by itself or in a network.
func (l *List) Contains(a netip.Addr) bool { return l.addrs.Contains(a) }

// hosts are hostnames, and names below which all are meant.
type hosts struct{ names, below map[string]bool }

func (h hosts) contains(name string) bool {
	if h.names[name] {
		return true
	}
	for len(h.below) > 0 {
		_, parent, ok := strings.Cut(name, ".")
		if !ok {
			break
		}
		if h.below[parent] {
			return true
		}
		name = parent
	}
	return false
}
