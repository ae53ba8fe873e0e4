package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/internal/crashtest"
	"github.com/selvage-edge/selvage/internal/poll"
	"github.com/selvage-edge/selvage/storage/keyed"
)

// crashWorker runs the function of a crash test: steps one after the other and at
// the same time, retries, sleeps and an event. tell is told "ran" when a step begins
// and "done" when its result is there.
type crashWorker struct {
	tell func(word, name string)
}

func (w crashWorker) Send(ctx context.Context, _ string, e binding.Event) (out binding.Outcome, err error) {
	if err = e.Call(ctx, function(w.run)); err == nil {
		out.Outcome = "ok"
		out.Result, err = json.Marshal(e.Answer())
	}
	return out, err
}

func (w crashWorker) run(ctx context.Context, e Event, s *Steps) (any, error) {
	step := func(name string) (int, error) {
		name = e.ID + "/" + name
		tries := 0
		undo := func(_ context.Context, r Rollback) error {
			w.tell("undo", r.Name)
			return nil
		}
		v, err := s.Do(ctx, name, StepOptions{Delay: time.Millisecond, Rollback: undo}, func(context.Context) (any, error) {
			w.tell("ran", name)
			if tries++; tries == 1 && strings.HasSuffix(name, "3") {
				return nil, fmt.Errorf("at first")
			}
			return len(name), nil
		})
		if err != nil {
			return 0, err
		}
		w.tell("done", name)
		var n int
		return n, v.Decode(&n)
	}
	sum := 0
	for i := range 5 {
		n, err := step(fmt.Sprint("one", i))
		if err != nil {
			return nil, err
		}
		sum += n
		if err := s.Sleep(ctx, "nap", time.Duration(i)*time.Millisecond); err != nil {
			return nil, err
		}
	}
	var group sync.WaitGroup
	var parts [4]int
	var failed [4]error
	for i := range parts {
		group.Go(func() { parts[i], failed[i] = step(fmt.Sprint("many", i)) })
	}
	group.Wait()
	for i, n := range parts {
		if sum += n; failed[i] != nil {
			return nil, failed[i]
		}
	}
	r, err := s.WaitForEvent(ctx, "event", "go", time.Hour)
	if err != nil {
		return nil, err
	}
	w.tell("done", e.ID+"/event")
	if fails(e.ID) {
		return nil, errors.New("no")
	}
	return fmt.Sprint(sum, string(r.Payload)), nil
}

// fails reports whether an instance of crashWorker fails in the end: every third.
func fails(id string) bool {
	_, n, _ := strings.Cut(id, "-")
	i, err := strconv.Atoi(n)
	return err == nil && i%3 == 0
}

// crashOutput is what an instance of crashWorker comes to.
func crashOutput(id string) string {
	return fmt.Sprint(5*len(id+"/one0")+4*len(id+"/many0"), `"`+id+`"`)
}

// crashStart opens the Workflow and runs it; stop ends it in order.
func crashStart(dir string, tell func(word, name string)) (w *Workflow, stop func()) {
	db, err := keyed.Open(filepath.Join(dir, "keyed"), keyed.Options{MemTableBytes: 1 << 20})
	if err != nil {
		panic(err)
	}
	s, err := OpenStore(db, Options{Logger: slog.New(slog.DiscardHandler)})
	if err == nil {
		w, err = s.Put("flow", Settings{Script: "w", Class: "Flow"}, false)
	}
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); (&Kind{store: s}).Run(ctx, crashWorker{tell}, &config.Value{}) }()
	return w, func() { cancel(); <-ended; db.Close() }
}

// crashChild creates instances, sends each its event, and runs them, until it is
// killed. It tells "made" of what was acknowledged, and what crashWorker tells.
func crashChild(args []string) error {
	say := func(word, name string) { // one write of few bytes is atomic on a pipe
		os.Stdout.WriteString(word + " " + name + "\n")
	}
	w, _ := crashStart(args[0], say)
	for i := 0; ; i++ {
		id := args[1] + "-" + strconv.Itoa(i)
		if _, err := w.Create(context.Background(), Create{ID: &id}); err != nil {
			return err
		}
		if err := w.SendEvent(context.Background(), id, "go", Value(`"`+id+`"`)); err != nil {
			return err
		}
		say("made", id)
		for w.store.Running() > 20 {
			time.Sleep(time.Millisecond)
		}
	}
}

// A process full of running instances is killed with SIGKILL, many times over the
// same directory. What was acknowledged is there; a step whose result was there
// never runs again; and every instance comes to its end, with the right output.
func TestKill(t *testing.T) {
	crashtest.Child(crashChild)
	dir := t.TempDir()
	base := rand.Uint64()
	t.Logf("seed %d", base)
	var mu sync.Mutex
	made, done, again := map[string]bool{}, map[string]bool{}, 0
	undone := map[string][]string{} // the steps of instances, in the order in which they were undone
	hear := func(word, name string) {
		mu.Lock()
		defer mu.Unlock()
		switch word {
		case "made":
			made[name] = true
		case "ran":
			if again++; done[name] {
				t.Errorf("%s ran again after it had returned", name)
			}
		case "done":
			done[name] = true
		case "undo":
			id, step, _ := strings.Cut(name, "/")
			list := undone[id]
			if n := len(list); n > 0 && list[n-1] == step { // it was cut off
				return
			}
			if slices.Contains(list, step) {
				t.Errorf("%s was undone again after another one: %q", name, list)
			}
			undone[id] = append(list, step)
		}
	}
	for round := range 8 {
		c := crashtest.Start(t, dir, fmt.Sprint("r", round))
		lines, kill := 0, 100+int((base>>round)%1500)
		for line := range c.Lines() {
			word, name, _ := strings.Cut(line, " ")
			hear(word, name)
			if lines++; lines == kill {
				c.Kill()
			}
		}
	}
	w, stop := crashStart(dir, hear)
	defer stop()
	poll.Until(t, "all instances have ended", func() bool {
		counts, err := w.counts(t.Context())
		return err == nil && counts[Queued]+counts[Running]+counts[RollingBack] == 0 && w.store.Running() == 0
	})
	for id := range made {
		st, err := w.Status(t.Context(), id)
		if fails(id) {
			if list := undone[id]; err != nil || st.Status != Errored || st.Failure.Message != "no" || len(list) != 9 || list[8] != "one0" || list[4] != "one4" {
				t.Errorf("%s: %v %v %v, undone %q", id, st.Status, st.Failure, err, list)
			}
			continue
		}
		if len(undone[id]) > 0 {
			t.Errorf("%s: undone %q", id, undone[id])
		}
		if err != nil || st.Status != Complete {
			t.Errorf("%s: %v %v %v", id, st.Status, st.Failure, err)
			continue
		}
		var output string
		if err := st.Output.Decode(&output); err != nil || output != crashOutput(id) {
			t.Errorf("%s: %q %v, want %q", id, output, err, crashOutput(id))
		}
	}
	t.Logf("%d instances, %d steps done, %d attempts", len(made), len(done), again)
}
