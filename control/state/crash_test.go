package state

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/internal/crashtest"
	"github.com/selvage-edge/selvage/storage/blob"
)

// crashChild deploys for ever, or kills itself at a step of its second deploy.
// It prints each version once its deployment is acknowledged.
func crashChild(args []string) error {
	dir, step := args[0], args[1]
	blobs, err := blob.Open(filepath.Join(dir, "blobs"))
	if err != nil {
		return err
	}
	ctx := context.Background()
	s, err := Open(ctx, Options{Dir: dir, Blobs: blobs, Secrets: secrets})
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		if step != "" && i == 1 {
			atStep = func(at string) {
				if at == step {
					syscall.Kill(os.Getpid(), syscall.SIGKILL)
				}
			}
		}
		id, err := deploy(ctx, s, "api", fmt.Sprintf("code %d %d", os.Getpid(), i))
		if err != nil {
			return err
		}
		fmt.Println(id)
	}
}

func runChild(t *testing.T, dir, step string, after time.Duration) (acked []string) {
	t.Helper()
	c := crashtest.Start(t, dir, step)
	for id := range c.Lines() {
		acked = append(acked, id)
		if len(acked) == 1 && after > 0 {
			defer time.AfterFunc(after, c.Kill).Stop()
		}
	}
	return acked
}

// checkAfterCrash opens dir and proves that every acknowledged version is
// there and that what is in force is the last acknowledged deployment or a
// whole newer one. It returns the version in force.
func checkAfterCrash(t *testing.T, dir string, acked []string) string {
	t.Helper()
	s := openStore(t, dir)
	defer s.Close()
	err := s.View(t.Context(), func(tx *Tx) error {
		for _, id := range acked {
			if _, err := tx.Version("api", id); err != nil {
				t.Errorf("acknowledged version %s: %v", id, err)
			}
		}
		if len(acked) == 0 {
			return nil
		}
		last, err := tx.Version("api", acked[len(acked)-1])
		if err != nil {
			return err
		}
		live := s.Current().Workers["api"].Shares[0].Version
		if live.Number < last.Number || live.Number > last.Number+1 {
			t.Errorf("version %d is in force, the last acknowledged one is %d", live.Number, last.Number)
		}
		newest, err := tx.LatestVersion("api")
		if err != nil || newest.ID != live.ID {
			t.Errorf("half a deploy: newest version %d, in force %d, %v", newest.Number, live.Number, err)
		}
		if codeOf(t, live) != newest.ETag {
			t.Error("the code in force is not what was uploaded")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return s.Current().Workers["api"].Shares[0].Version.ID
}

func TestKillAtEachStepOfADeploy(t *testing.T) {
	crashtest.Child(crashChild)
	for _, c := range []struct {
		step string
		took bool // the deploy is on disk at this step
	}{
		{"stored", false}, {"begun", false}, {"worker", false}, {"version", false},
		{"changed", false}, {"audited", false}, {"committed", true}, {"published", true},
	} {
		t.Run(c.step, func(t *testing.T) {
			dir := t.TempDir()
			acked := runChild(t, dir, c.step, 0)
			if len(acked) != 1 {
				t.Fatalf("acknowledged %v, want the first deploy only", acked)
			}
			if live := checkAfterCrash(t, dir, acked); (live != acked[0]) != c.took {
				t.Errorf("killed at %q: in force %s, acknowledged %s", c.step, live, acked[0])
			}
		})
	}
}

func TestKillAtRandomMoments(t *testing.T) {
	crashtest.Child(crashChild)
	const seed = 20
	r := rand.New(rand.NewPCG(seed, seed))
	dir := t.TempDir()
	var acked []string
	for range 12 {
		acked = append(acked, runChild(t, dir, "", time.Duration(r.IntN(60))*time.Millisecond)...)
		checkAfterCrash(t, dir, acked)
	}
	if len(acked) < 12 {
		t.Errorf("only %d deploys in 12 rounds", len(acked))
	}
}
