package platform

import (
	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/edge"
)

// hosts are those who answer for hosts without a Worker. Of two with the same host
// the first one has it.
type hosts []binding.Hosted

func hostsOf(kinds []binding.Kind) (list hosts) {
	for _, k := range kinds {
		if h, ok := k.(binding.Hosted); ok {
			list = append(list, h)
		}
	}
	return list
}

func (list hosts) owner(host string) *binding.HostOwner {
	for _, h := range list {
		if owner := h.Hosted(host); owner != nil {
			return owner
		}
	}
	return nil
}

// Name says who has a host, for people; empty for nobody.
func (list hosts) name(host string) string {
	if owner := list.owner(host); owner != nil {
		return owner.Name
	}
	return ""
}

// handler is edge.Options.Hosted.
func (list hosts) handler(host string) (h edge.Handler, raw bool) {
	owner := list.owner(host)
	if owner == nil {
		return nil, false
	}
	return edge.HandlerFunc(owner.Serve), owner.Raw
}
