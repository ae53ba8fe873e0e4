package engine

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/engine/workerd"
	"github.com/selvage-edge/selvage/internal/crashtest"
)

// goBackForever adds lines to an object and puts it back, and tells what it begins
// and what it has done.
func goBackForever(t *testing.T, args []string) error {
	seed, err := strconv.ParseUint(args[1], 10, 64)
	if err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(seed, 0))
	b := newBench(t, func(o *Options) { o.Dir = args[0] })
	b.deploy(pastVersion(b))
	call := func(path string) (text string, err error) {
		status, body, err := b.ask("/past/a/" + path)
		if err == nil && status != 200 {
			err = fmt.Errorf("%s: %d %s", path, status, body)
		}
		return strings.Trim(body, `"`), err
	}
	look := func() error {
		text, err := call("look")
		var got struct{ Lines, Kept string }
		if err == nil {
			err = json.Unmarshal([]byte(text), &got)
		}
		// The two are written together and restored together.
		if _, last, ok := cutLast(got.Lines); err == nil && ok && last != got.Kept {
			err = fmt.Errorf("half a state: %s", text)
		}
		fmt.Printf("look [%s]\n", got.Lines)
		return err
	}
	if err := look(); err != nil {
		return err
	}
	var marks []string
	for i := 0; ; i++ {
		line := fmt.Sprint("x", random.IntN(1000))
		fmt.Println("begin add", line)
		if _, err := call("add/" + line); err != nil {
			return err
		}
		fmt.Println("done add", line)
		if i%2 == 0 {
			mark, err := call("current")
			if err != nil {
				return err
			}
			fmt.Println("mark", mark)
			marks = append(marks, mark)
		}
		if random.IntN(3) > 0 {
			continue
		}
		target := marks[random.IntN(len(marks))]
		fmt.Println("begin next", target)
		if _, err := call("next/" + target); err != nil {
			return err
		}
		fmt.Println("done next", target)
		if _, err := call("abort"); err != nil {
			return err
		}
		if err := look(); err != nil {
			return err
		}
	}
}

func cutLast(lines string) (before, last string, ok bool) {
	i := strings.LastIndex(lines, ",")
	return lines[:max(i, 0)], lines[i+1:], lines != ""
}

// A restore happens as a whole or not at all, and once it has been promised it
// happens, whenever the server is killed.
func TestKillDuringRecovery(t *testing.T) {
	crashtest.Child(func(args []string) error { return goBackForever(t, args) })
	binary, err := workerd.Binary(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(workerd.Variable, binary) // the child prints nothing about a download
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	states := map[string]string{} // by bookmark
	now, possible := "", []string{""}
	restores := 0
	for range 5 {
		p := crashtest.Start(t, dir, fmt.Sprint(random.Uint64()))
		lines, most := 0, 10+random.IntN(40)
		for line := range p.Lines() {
			word, rest, _ := strings.Cut(line, " ")
			what, arg, _ := strings.Cut(rest, " ")
			added := strings.TrimPrefix(now+","+arg, ",")
			switch {
			case word == "look":
				if now = strings.Trim(rest, "[]"); !slices.Contains(possible, now) {
					t.Fatalf("the object has %q, want one of %q", now, possible)
				}
				possible = []string{now}
			case word == "mark":
				states[rest] = now
			case what == "add" && word == "begin":
				possible = []string{now, added}
			case what == "add":
				now, possible = added, []string{added}
			case word == "begin": // next
				possible = []string{now, states[arg]}
			default:
				restores++
				possible = []string{states[arg]}
			}
			if lines++; lines == most {
				p.Kill()
			}
		}
	}
	t.Logf("%d restores of %d states", restores, len(states))
}
