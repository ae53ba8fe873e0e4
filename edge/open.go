package edge

import (
	"sync"

	"github.com/selvage-edge/selvage/telemetry"
)

// open are the requests that are being answered, by Ray ID. It is safe for
// concurrent use; its parts keep cores from waiting for each other.
type open [32]struct {
	mu    sync.RWMutex
	byRay map[string]*telemetry.Request
}

func (o *open) add(r *telemetry.Request) {
	part := &o[o.part(r.Ray)]
	part.mu.Lock()
	defer part.mu.Unlock()
	if part.byRay == nil {
		part.byRay = map[string]*telemetry.Request{}
	}
	part.byRay[r.Ray] = r
}

func (o *open) remove(ray string) {
	part := &o[o.part(ray)]
	part.mu.Lock()
	defer part.mu.Unlock()
	delete(part.byRay, ray)
}

func (o *open) part(ray string) int {
	if ray == "" {
		return 0
	}
	return int(ray[len(ray)-1]) % len(o)
}

func (o *open) get(ray string) *telemetry.Request {
	part := &o[o.part(ray)]
	part.mu.RLock()
	defer part.mu.RUnlock()
	return part.byRay[ray]
}

// Open returns the record of a request that is being answered, by its Ray ID
// without the colo, else nil. It ends with the response, not with what the
// Worker does after it.
func (e *Edge) Open(ray string) *telemetry.Request { return e.open.get(ray) }
