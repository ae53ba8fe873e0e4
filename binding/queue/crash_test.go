package queue

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/internal/crashtest"
	"github.com/selvage-edge/selvage/storage/keyed"
)

func crashOpen(dir string) (*keyed.DB, *Store) {
	db, err := keyed.Open(filepath.Join(dir, "keyed"), keyed.Options{MemTableBytes: 1 << 20})
	if err != nil {
		panic(err)
	}
	s, err := OpenStore(db, Options{})
	if err != nil {
		panic(err)
	}
	return db, s
}

// crashChild sends to two queues and consumes both, one as a Worker's consumer
// does and one by leases, until it is killed. It tells what was acknowledged to
// it: "sent" of a message, "done" of an acknowledgement; and "try" before it
// acknowledges one.
func crashChild(args []string) error {
	seed, err := strconv.ParseUint(args[1], 10, 64)
	if err != nil {
		return err
	}
	_, s := crashOpen(args[0])
	say := func(word, queue, name string) { // one write of few bytes is atomic on a pipe
		os.Stdout.WriteString(word + " " + queue + "/" + name + "\n")
	}
	check := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	for sender := range 4 {
		q, err := s.Ensure([]string{"push", "pull"}[sender%2])
		if err != nil {
			return err
		}
		r := rand.New(rand.NewPCG(seed, uint64(sender)))
		go func() {
			for i := 0; ; i++ {
				var batch []Message
				var names []string
				for j := range 1 + r.IntN(5) {
					name := fmt.Sprintf("%d-%d-%d-%d", seed, sender, i, j)
					size := r.IntN(200)
					if r.IntN(4) == 0 {
						size = InlineBytes + r.IntN(20_000)
					}
					names = append(names, name)
					batch = append(batch, Message{Body: []byte(name + " " + strings.Repeat("x", size)), ContentType: Text})
				}
				check(q.Producer(-1).SendBatch(context.Background(), batch))
				for _, name := range names {
					say("sent", q.Name(), name)
				}
			}
		}()
	}
	nameOf := func(body []byte) string {
		name, _, _ := strings.Cut(string(body), " ")
		return name
	}
	push, _ := s.Named("push")
	r := rand.New(rand.NewPCG(seed, 100))
	go func() {
		for {
			list, _, err := push.take(7)
			check(err)
			var x settlement
			for _, m := range list {
				check(push.load(m))
				if r.IntN(3) == 0 {
					x.retried, x.delays = append(x.retried, m), append(x.delays, 0)
					continue
				}
				say("try", "push", nameOf(m.body))
				x.acked = append(x.acked, m)
			}
			acked := x.acked
			check(push.settle(&x))
			for _, m := range acked {
				say("done", "push", nameOf(m.body))
			}
		}
	}()
	pull, _ := s.Named("pull")
	for i := 0; ; i++ {
		list, err := pull.Pull(7, time.Minute)
		check(err)
		var acks, names []string
		var retries []Retry
		for j, m := range list {
			if (i+j)%3 == 0 {
				retries = append(retries, Retry{Lease: m.Lease})
				continue
			}
			say("try", "pull", nameOf(m.Body))
			acks, names = append(acks, m.Lease), append(names, nameOf(m.Body))
		}
		_, err = pull.Settle(acks, retries)
		check(err)
		for _, name := range names {
			say("done", "pull", name)
		}
	}
}

// TestKillLosesNothing kills a process full of senders and consumers with
// SIGKILL, many times over the same directory. The model: a message whose send
// was acknowledged is there, unless it has been acknowledged; one whose
// acknowledgement was under way may be there; one whose acknowledgement was
// acknowledged is not. And the counters are right.
func TestKillLosesNothing(t *testing.T) {
	crashtest.Child(crashChild)
	dir := t.TempDir()
	db, s := crashOpen(dir)
	for _, name := range []string{"push", "pull"} {
		q, err := s.Ensure(name)
		if err == nil && name == "pull" {
			_, err = q.SetConsumer(Consumer{Type: typePull, Settings: ConsumerSettings{MaxRetries: number(MaxRetries)}})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	db.Close()
	base := rand.Uint64()
	t.Logf("seed %d", base)
	must, may, mustNot := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for round := range 8 {
		seed := base + uint64(round)
		c := crashtest.Start(t, dir, fmt.Sprint(seed))
		lines, kill := 0, 100+int(seed%1500)
		for line := range c.Lines() {
			word, name, _ := strings.Cut(line, " ")
			switch word {
			case "sent":
				if !may[name] && !mustNot[name] { // its consumer may have been quicker
					must[name] = true
				}
			case "try":
				delete(must, name)
				may[name] = true
			case "done":
				delete(may, name)
				mustNot[name] = true
			}
			if lines++; lines == kill {
				c.Kill()
			}
		}
		db, s := crashOpen(dir)
		there := map[string]bool{}
		for _, q := range s.Queues() {
			var count, size int64
			prefix := numberRow(rowMessage, q.number)
			err := db.Scan(prefix, keyed.After(prefix), func(key, value []byte) bool {
				m := &taken{place: placeOf(key)}
				var err error
				if m.record, err = decodeRecord(value); err == nil {
					err = q.load(m)
				}
				if err != nil {
					t.Fatalf("round %d: %v", round, err)
				}
				name, _, _ := strings.Cut(string(m.body), " ")
				if there[q.Name()+"/"+name] {
					t.Errorf("round %d: %s is there twice", round, name)
				}
				there[q.Name()+"/"+name] = true
				count, size = count+1, size+int64(m.size)
				return true
			})
			if err != nil {
				t.Fatal(err)
			}
			if q.count != count || q.bytes != size {
				t.Errorf("round %d: queue %s counts %d messages of %d bytes and has %d of %d", round, q.Name(), q.count, q.bytes, count, size)
			}
		}
		for name := range must {
			if !there[name] {
				t.Errorf("round %d: %s is lost", round, name)
			}
		}
		for name := range there {
			if mustNot[name] {
				t.Errorf("round %d: %s is there after its acknowledgement", round, name)
			}
		}
		db.Close()
	}
	t.Logf("%d messages were acknowledged, %d were left", len(mustNot), len(must))
}
