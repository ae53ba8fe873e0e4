package engine

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/engine/workerd"
	"github.com/selvage-edge/selvage/internal/crashtest"
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

// tally asks the object of a client; a POST counts.
func (b *bench) tally(ctx context.Context, method string, client int) (status int, body string, err error) {
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
				status, body, err := b.tally(ctx, http.MethodPost, client)
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
			status, body, err := b.tally(t.Context(), http.MethodGet, client)
			return answered(client, status, body, err)
		})
	}
	t.Logf("%d kills cut off %d writes, %d were acknowledged", *gateRounds, cut.Load(), acknowledged.Load())
	if cut.Load() == 0 {
		t.Error("no kill came between a write and its answer")
	}
}

// The same when it is the server that is killed, and workerd dies with it.
func TestOutputGateOfTheServer(t *testing.T) {
	const clients, rounds = 16, 4
	crashtest.Child(func(args []string) error {
		b := newBench(t, func(o *Options) { o.Dir = args[0] })
		b.deploy(b.gate(0))
		failed := make(chan error, clients)
		for client := range clients {
			go func() {
				for {
					status, body, err := b.tally(context.Background(), http.MethodPost, client)
					if err != nil || status != http.StatusOK {
						failed <- fmt.Errorf("%d %s %w", status, body, err)
						return
					}
					fmt.Printf("object %d says %s\n", client, body) // one write each
				}
			}()
		}
		return <-failed
	})
	binary, err := workerd.Binary(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(workerd.Variable, binary) // the child prints nothing about a download
	dir, moments := t.TempDir(), rand.New(rand.NewPCG(*gateSeed, 1))
	var said [clients]int
	for range rounds {
		c := crashtest.Start(t, dir)
		var heard [clients]bool
		left := 10*clients + moments.IntN(10*clients)
		for line := range c.Lines() {
			var client, n int
			if _, err := fmt.Sscanf(line, "object %d says %d", &client, &n); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			most := said[client] + 1
			if !heard[client] {
				most++ // for the write that the kill has cut off
			}
			if n <= said[client] || n > most {
				t.Fatalf("object %d says %d after %d", client, n, said[client])
			}
			said[client], heard[client] = n, true
			if left--; left == 0 {
				c.Kill()
			}
		}
	}
}
