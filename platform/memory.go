package platform

import (
	"time"

	"github.com/selvage-edge/selvage/storage/budget"
)

// DefaultMemory is what the calls of all Workers to bindings take of this
// process's memory at once, in bytes.
const DefaultMemory = 512 << 20

// DefaultUploadMemory is what requests of the REST API take besides, for bodies
// that are held in memory. It has a budget of its own, because such a request
// may call a binding's store.
const DefaultUploadMemory = 512 << 20

// memoryPatience is how long a call waits for memory, as long as one waits for
// its turn at a database.
const memoryPatience = 5 * time.Second

// NewMemory makes a budget of which each Worker may take a quarter at once.
func NewMemory(total int64) *budget.Budget { return budget.New(total, total/4, memoryPatience) }

// newUploadMemory makes a budget of which each API token may take one half.
func newUploadMemory(total int64) *budget.Budget {
	return budget.New(total, total/2, memoryPatience)
}
