package engine

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/internal/poll"
)

var (
	gateRounds = flag.Int("gate.rounds", 30, "kills of TestOutputGate; 2000 for a long one")
	gateSeed   = flag.Uint64("gate.seed", 1, "what its kills depend on")
)

// gate answers before its writes are on the disk, as far as its code says: what
// holds the answer back is the output gate.
const gate = `import { DurableObject } from "cloudflare:workers";
export class Counter extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS counts (n INTEGER)");
  }
  async fetch(request) {
    const { storage } = this.ctx;
    const n = (await storage.get("n") ?? 0) + (request.method === "POST" ? 1 : 0);
    if (request.method === "POST") {
      storage.put("n", n);
      storage.sql.exec("INSERT INTO counts VALUES (?)", n);
    }
    const { rows, last } = storage.sql.exec("SELECT COUNT(*) AS rows, MAX(n) AS last FROM counts").one();
    if (rows !== n || (last ?? 0) !== n) return new Response("n is " + n + " and the table has " + rows, { status: 400 });
    return new Response(String(n));
  }
}
export default { fetch: (request, env) => env.C.getByName(new URL(request.url).pathname).fetch(request) }
// %d`

func (b *bench) gate(n int) *config.Version {
	v := b.version("gate", fmt.Sprintf(gate, n), bound(b.t, "C", "durable_object_namespace", map[string]string{"class_name": "Counter"}))
	v.Classes = []config.Class{{Name: "Counter", SQLite: true, Key: "gate-Counter"}}
	return v
}

// counted is what the client of one object knows.
type counted struct {
	acknowledged int
	sent         int // since then
}

// check holds an answer against it.
func (c *counted) check(n int) error {
	if n < c.acknowledged || n > c.acknowledged+c.sent {
		return fmt.Errorf("the object says %d; %d were acknowledged and %d sent since", n, c.acknowledged, c.sent)
	}
	c.acknowledged, c.sent = n, 0
	return nil
}

// What a client has been told is there, however the process ends: in each round
// a new version is deployed and its process killed in the middle of the writes of
// 32 clients. What nobody was told may be there or not, but never in part.
func TestOutputGate(t *testing.T) {
	const clients = 32
	b := newBench(t, nil)
	b.deploy(b.gate(0))
	moments := rand.New(rand.NewPCG(*gateSeed, 0))
	ask := func(ctx context.Context, method string, client int) (status int, body string, err error) {
		req, err := http.NewRequestWithContext(ctx, method, fmt.Sprintf("%s/gate/%d", b.server.URL, client), nil)
		if err != nil {
			return 0, "", err
		}
		res, err := b.server.Client().Do(req)
		if err != nil {
			return 0, "", err
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		return res.StatusCode, string(text), err
	}
	var acknowledged, cut atomic.Int64
	known := make([]counted, clients)
	// answered takes an answer, and reports whether there was one.
	answered := func(client, status int, body string, err error) bool {
		n, notNumber := strconv.Atoi(body)
		switch {
		case err != nil || status >= 500:
			return false
		case status != http.StatusOK || notNumber != nil:
			t.Errorf("object %d: %d %s", client, status, body)
		default:
			if err := known[client].check(n); err != nil {
				t.Errorf("object %d: %v", client, err)
			}
		}
		return true
	}
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for client := range clients {
		writers.Go(func() {
			for ctx.Err() == nil {
				known[client].sent++
				status, body, err := ask(ctx, http.MethodPost, client)
				if answered(client, status, body, err) {
					acknowledged.Add(1)
				} else {
					cut.Add(1)
				}
			}
		})
	}
	for round := range *gateRounds {
		b.deploy(b.gate(round + 1))
		if err := b.Start(ctx, "gate"); err != nil {
			t.Fatal(err)
		}
		before := acknowledged.Load()
		poll.Until(t, "writes are acknowledged", func() bool { return acknowledged.Load() >= before+2*clients })
		<-time.After(time.Duration(moments.IntN(3000)) * time.Microsecond)
		if c, ok := b.cellOf("gate"); ok {
			syscall.Kill(c.PID, syscall.SIGKILL)
		}
	}
	stop()
	writers.Wait()
	b.deploy(b.gate(*gateRounds + 1))
	for client := range clients {
		poll.Until(t, "the object answers", func() bool {
			status, body, err := ask(t.Context(), http.MethodGet, client)
			return answered(client, status, body, err)
		})
	}
	t.Logf("%d kills cut off %d writes, %d were acknowledged", *gateRounds, cut.Load(), acknowledged.Load())
	if cut.Load() == 0 {
		t.Error("no kill came between a write and its answer")
	}
}
