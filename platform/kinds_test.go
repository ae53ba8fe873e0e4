package platform

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/binding/assets"
	"github.com/selvage-edge/selvage/binding/service"
	"github.com/selvage-edge/selvage/binding/vars"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/internal/poll"
	"github.com/selvage-edge/selvage/storage/blob"
)

func TestOneKindForEachType(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range Kinds() {
		if seen[k.Type()] {
			t.Errorf("two kinds are of type %s: is the product still in binding/unsupported?", k.Type())
		}
		seen[k.Type()] = true
	}
}

// What binding.Opener promises of a kind that is not open.
func TestKindsTellBeforeTheyAreOpen(t *testing.T) {
	for _, k := range Kinds() {
		b, err := config.NewBinding("B", k.Type(), map[string]any{"text": 1})
		if err != nil {
			t.Fatal(err)
		}
		k.Validate(b) // may be anything but a panic
		kinds := binding.ByType([]binding.Kind{k})
		if refs := kinds.Refer(b); len(refs) > 0 {
			t.Errorf("%s: settings that are wrong refer to %+v", k.Type(), refs)
		}
		if d, ok := k.(binding.Deployer); ok && d.Deployable("w", b) == nil {
			t.Errorf("%s: settings that are wrong are deployable", k.Type())
		}
		if s, ok := k.(binding.Secretive); ok && len(s.SecretFields()) == 0 {
			t.Errorf("%s: no field is secret", k.Type())
		}
		if f, ok := k.(binding.Filer); ok && f.Files().Folder == "" {
			t.Errorf("%s: its databases are in no folder", k.Type())
		}
		if i, ok := k.(binding.Implier); ok {
			if _, ok := i.Imply("B", new(complex64)); ok {
				t.Errorf("%s is implied by a complex number", k.Type())
			}
		}
	}
}

func TestUnknownTypesAreRefused(t *testing.T) {
	err := binding.ByType(Kinds()).Deployable("w", config.Binding{Name: "B", Type: "teapot"})
	if err == nil || err.Error() != `binding B: there is no kind of binding named "teapot" here` {
		t.Error(err)
	}
}

// probe is a kind that tells everything that the platform asks for.
type probe struct {
	binding.Kind
	opened *blob.Store
	swept  chan struct{}
	sent   chan error
	closed *[]string
	name   string
}

func (p *probe) Open(home binding.Home) (err error) {
	p.opened, err = home.Blobs(p.name)
	return err
}

func (p *probe) Close() error {
	p.log(p.name)
	return nil
}

// logging guards what the probes log.
var logging sync.Mutex

func (p *probe) log(what string) {
	logging.Lock()
	defer logging.Unlock()
	*p.closed = append(*p.closed, what)
}

func (p *probe) Run(ctx context.Context, events binding.Events, _ config.Source) {
	_, err := events.Send(ctx, "nobody", binding.Event{Type: "probe"})
	p.sent <- err
	<-ctx.Done()
	p.log(p.name + "'s run")
}

func (p *probe) Sweep(context.Context) (int, error) {
	close(p.swept)
	return 0, nil
}

// withProducts replaces the list for a test.
func withProducts(t *testing.T, list ...func() []binding.Kind) {
	before := products
	products = list
	t.Cleanup(func() { products = before })
}

func TestKindsAreOpenedSweptRunAndClosedInReverse(t *testing.T) {
	var closed []string
	a := &probe{Kind: assets.Kind{}, closed: &closed, name: "a", swept: make(chan struct{}), sent: make(chan error, 1)}
	b := &probe{Kind: service.Kind{}, closed: &closed, name: "b", swept: make(chan struct{}), sent: make(chan error, 1)}
	withProducts(t, vars.Kinds, func() []binding.Kind { return []binding.Kind{a, b} })
	p, err := Open(t.Context(), Options{Data: t.TempDir(), Binary: noBinary})
	if err != nil {
		t.Fatal(err)
	}
	<-a.swept
	<-b.swept
	<-b.sent
	if err := <-a.sent; !errors.Is(err, binding.ErrNotBegun) {
		t.Errorf("an event for a Worker that is not there: %v", err)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	slices.Sort(closed[:2]) // they end at the same time
	if !slices.Equal(closed, []string{"a's run", "b's run", "b", "a"}) {
		t.Errorf("closed %v", closed)
	}
}

func TestABlobStoreHasOneOwner(t *testing.T) {
	var closed []string
	first := &probe{Kind: assets.Kind{}, closed: &closed, name: "same"}
	second := &probe{Kind: service.Kind{}, closed: &closed, name: "same"}
	withProducts(t, vars.Kinds, func() []binding.Kind { return []binding.Kind{first, second} })
	_, _, err := OpenStores(t.Context(), StoreOptions{Dir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), `the blob store "same" has an owner already`) {
		t.Errorf("got %v", err)
	}
	if !slices.Equal(closed, []string{"same"}) {
		t.Errorf("closed %v: what was open before must be, and nothing else", closed)
	}
}

// A value that a kill left without its key is gone soon after a start, unless it
// is young or the directory is new.
func TestKVIsSweptAtStart(t *testing.T) {
	dir := t.TempDir()
	stores, _, err := OpenStores(t.Context(), StoreOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	pin, err := stores.blobs["kv"].Put(bytes.NewReader([]byte("a large value")))
	if err != nil {
		t.Fatal(err)
	}
	digest := pin.Digest
	pin.Release()
	if err := stores.Close(); err != nil {
		t.Fatal(err)
	}
	name, long := digest.String(), time.Now().Add(-2*(spareYoung+doubtFor))
	for _, path := range []string{filepath.Join(dir, blobFolder, "kv", name[:2], name), filepath.Join(dir, contentsFile)} {
		if err := os.Chtimes(path, long, long); err != nil {
			t.Fatal(err)
		}
	}
	p, err := Open(t.Context(), Options{Data: dir, Binary: noBinary})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close(context.Background())
	poll.Until(t, "the value is swept", func() bool {
		there, err := p.Stores.blobs["kv"].Has(digest)
		if err != nil {
			t.Fatal(err)
		}
		return !there
	})
}

func noBinary(context.Context) (string, error) { return "", errors.New("no Worker runs here") }
