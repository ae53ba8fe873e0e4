package platform

import (
	"net/http"

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

// served is edge.Options.Hosted.
func (list hosts) served(host string) (hosted, raw bool) {
	owner := list.owner(host)
	return owner != nil, owner != nil && owner.Raw
}

// hosted is the stage in which they answer.
type hosted struct {
	hosts
	// raw: it answers for those who take requests as they are, and leaves the
	// others to the stage further on.
	raw bool
}

// ServeHTTP implements edge.Stage.
func (s hosted) ServeHTTP(w http.ResponseWriter, r *http.Request, next edge.Handler) error {
	if owner := s.owner(edge.HostOf(r)); owner != nil && owner.Raw == s.raw {
		return owner.Serve(w, r)
	}
	return next.ServeHTTP(w, r)
}
