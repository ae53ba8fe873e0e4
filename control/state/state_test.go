package state

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/storage/blob"
)

// secrets are the fields that are secret, as the kinds of binding tell them.
var secrets = map[string][]string{"secret_text": {"text"}, "secret_key": {"key_base64", "key_jwk"}}

func openStore(t testing.TB, dir string) *Store {
	t.Helper()
	blobs, err := blob.Open(filepath.Join(dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), Options{Dir: dir, Blobs: blobs, Secrets: secrets})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func binding(t testing.TB, name, typ string, settings any) config.Binding {
	t.Helper()
	b, err := config.NewBinding(name, typ, settings)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// deploy uploads one module and puts it in force in one update, as a script
// PUT does.
func deploy(ctx context.Context, s *Store, worker, code string, bindings ...config.Binding) (versionID string, err error) {
	pin, err := s.PutBlob(strings.NewReader(code))
	if err != nil {
		return "", err
	}
	defer pin.Release()
	atStep("stored")
	err = s.Update(ctx, func(tx *Tx) error {
		w, err := tx.Worker(worker)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		w.Name, w.Subdomain, w.Previews = worker, true, true
		if err := tx.PutWorker(&w); err != nil {
			return err
		}
		atStep("worker")
		v := Version{
			Worker: worker, MainModule: "index.js", ETag: code, Bindings: bindings,
			Modules: []Module{{Name: "index.js", Type: config.ESModule, Digest: pin.Digest.String(), Size: pin.Size}},
		}
		if err := tx.AddVersion(&v); err != nil {
			return err
		}
		atStep("version")
		versionID = v.ID
		return tx.Deploy(&Deployment{Worker: worker, Shares: []DeploymentShare{{v.ID, 100}}})
	})
	return versionID, err
}

func mustDeploy(t testing.TB, s *Store, worker, code string, bindings ...config.Binding) string {
	t.Helper()
	id, err := deploy(context.Background(), s, worker, code, bindings...)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func codeOf(t testing.TB, v *config.Version) string {
	t.Helper()
	modules, err := v.Code.Modules(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return string(modules[0].Data)
}

func TestSnapshotFollowsUpdatesAndSurvivesReopening(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	other := mustDeploy(t, s, "other", "code 0")
	var seen []*config.Snapshot
	stop := s.Subscribe(func(c *config.Snapshot) { seen = append(seen, c) })
	first := mustDeploy(t, s, "api", "code 1", binding(t, "TOKEN", "secret_text", map[string]string{"text": "hunter2"}))
	second := mustDeploy(t, s, "api", "code 2")
	stop()
	if len(seen) != 2 {
		t.Fatalf("two updates gave %d snapshots", len(seen))
	}
	if seen[0].Workers["other"] != seen[1].Workers["other"] {
		t.Error("a Worker that was not touched was made again")
	}
	if seen[0].Workers["api"].Shares[0].Version != seen[1].Workers["api"].Previews[0] {
		t.Error("a version was made again")
	}
	for _, when := range []string{"live", "reopened"} {
		c := s.Current()
		api := c.Workers["api"]
		if c.Account != s.Account() || c.WorkersDomain != "localhost" || len(c.Workers) != 2 || c.Workers["other"].Shares[0].Version.ID != other {
			t.Fatalf("%s: snapshot %+v", when, c)
		}
		if got := api.Shares[0]; got.Version.ID != second || got.Percentage != 100 || got.Version.Number != 2 || codeOf(t, got.Version) != "code 2" {
			t.Errorf("%s: share %+v", when, got)
		}
		if got := api.Previews; len(got) != 1 || got[0].ID != first || string(got[0].Bindings[0].Raw) != `{"name":"TOKEN","text":"hunter2","type":"secret_text"}` {
			t.Errorf("%s: previews %+v", when, got)
		}
		account := s.Account()
		s.Close()
		if s = openStore(t, dir); s.Account() != account {
			t.Error("the account changed")
		}
	}
}

func TestSecretsAreSealedOnDisk(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	mustDeploy(t, s, "api", "code", binding(t, "TOKEN", "secret_text", map[string]string{"text": "correct horse battery"}))
	err := s.View(t.Context(), func(tx *Tx) error {
		v, err := tx.LatestVersion("api")
		if err != nil {
			return err
		}
		if got := string(s.Public(v.Bindings[0]).Raw); got != `{"name":"TOKEN","type":"secret_text"}` {
			t.Errorf("public binding is %s", got)
		}
		if s.SecretRef(v.Bindings[0]) == "" {
			t.Error("the stored binding has no reference")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if bytes.Contains(data, []byte("battery")) {
			t.Errorf("%s has the secret in clear", path)
		}
		return nil
	})
	info, err := os.Stat(filepath.Join(dir, "secret.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("secret.key: %v, %v", info.Mode(), err)
	}
	_, err = Open(t.Context(), Options{Dir: dir, Key: make([]byte, 32)})
	if err == nil || !strings.Contains(err.Error(), "secret key is not the one") {
		t.Errorf("opened with another key: %v", err)
	}
}

func TestDeploymentsMustBeWhole(t *testing.T) {
	s := openStore(t, t.TempDir())
	id := mustDeploy(t, s, "api", "code")
	for _, c := range []struct {
		name   string
		shares []DeploymentShare
		want   string
	}{
		{"no version", nil, "one or two versions, not 0"},
		{"three versions", []DeploymentShare{{id, 50}, {id, 25}, {id, 25}}, "one or two versions, not 3"},
		{"not 100 percent", []DeploymentShare{{id, 99}}, "add up to 99, not 100"},
		{"unknown version", []DeploymentShare{{"nope", 100}}, "version nope: not found"},
	} {
		err := s.Update(t.Context(), func(tx *Tx) error { return tx.Deploy(&Deployment{Worker: "api", Shares: c.shares}) })
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v, want %q", c.name, err, c.want)
		}
	}
	if got := s.Current().Workers["api"].Shares[0].Version.ID; got != id {
		t.Errorf("a refused deployment took effect: %s", got)
	}
}

func TestRoutesAndDomains(t *testing.T) {
	s := openStore(t, t.TempDir())
	mustDeploy(t, s, "api", "code")
	for range 2 { // the second time nothing is left to add
		if err := s.EnsureZones(t.Context(), "example.com", "example.org"); err != nil {
			t.Fatal(err)
		}
	}
	err := s.Update(t.Context(), func(tx *Tx) error {
		z, err := tx.ZoneByName("example.com")
		if err != nil {
			return err
		}
		if err := tx.PutRoute(&Route{Pattern: "example.com/api/*", Worker: "api", Zone: z.ID, ZoneName: z.Name}); err != nil {
			return err
		}
		if err := tx.PutRoute(&Route{Pattern: "example.com/static/*", Zone: z.ID, ZoneName: z.Name}); err != nil {
			return err
		}
		return tx.PutDomain(&Domain{Hostname: "api.example.com", Worker: "api", Zone: z.ID, ZoneName: z.Name})
	})
	if err != nil {
		t.Fatal(err)
	}
	want := "[{example.com/api/* api false example.com} {example.com/static/*  false example.com} {api.example.com api true example.com}]"
	if got := fmt.Sprint(s.Current().Routes); got != want {
		t.Errorf("routes are\n%s, want\n%s", got, want)
	}
	if err := s.Update(t.Context(), func(tx *Tx) error { return tx.DeleteWorker("api") }); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(s.Current().Routes); got != "[{example.com/static/*  false example.com}]" || len(s.Current().Workers) != 0 {
		t.Errorf("after deleting the Worker routes are %s", got)
	}
}

// An entry holds what differs, as it was and as it is.
func TestAuditLogTellsBeforeAndAfter(t *testing.T) {
	s := openStore(t, t.TempDir())
	if _, err := deploy(t.Context(), s, "api", "code"); err != nil {
		t.Fatal(err)
	}
	var zone Zone
	var none Route
	for _, c := range []struct {
		change func(*Tx) error
		want   string
	}{
		{func(tx *Tx) error {
			w, err := tx.Worker("api")
			w.Logpush, w.Subdomain = true, !w.Subdomain
			return errors.Join(err, tx.PutWorker(&w))
		}, `[{"kind":"worker","name":"api","before":{"subdomain":true},"after":{"logpush":true,"subdomain":false}}]`},
		{func(tx *Tx) (err error) { zone, err = tx.AddZone("example.com"); return err }, `[{"kind":"zone","name":"example.com","after":{"created":`},
		{func(tx *Tx) error {
			return tx.PutRoute(&Route{Pattern: "example.com/*", Worker: "api", Zone: zone.ID})
		}, `[{"kind":"worker","name":"api","after":{"routes":["example.com/*"]}}]`},
		{func(tx *Tx) error {
			none = Route{Pattern: "example.com/raw", Zone: zone.ID}
			return tx.PutRoute(&none)
		}, `[{"kind":"route","name":"example.com/raw","after":{"id":`},
		{func(tx *Tx) error { return tx.DeleteRoute(none) }, `[{"kind":"route","name":"example.com/raw","before":{"id":`},
		{func(tx *Tx) error { return tx.DeleteZone(zone.ID) }, `[{"kind":"worker","name":"api","before":{"routes":["example.com/*"]}},{"kind":"zone","name":"example.com","before":`},
		{func(tx *Tx) error {
			return tx.AddToken(Token{ID: "t1", Name: "ci", Hash: "h", Scopes: []string{"d1:read"}})
		}, `[{"kind":"token","name":"ci","after":{"created":"0001-01-01T00:00:00Z","id":"t1","name":"ci","scopes":["d1:read"]}}]`},
		{func(tx *Tx) error { return tx.DeleteToken("t1") }, `[{"kind":"token","name":"ci","before":`},
		{func(tx *Tx) error { return tx.DeleteWorker("api") }, `[{"kind":"worker","name":"api","before":{"`},
	} {
		if err := s.Update(WithActor(t.Context(), &Actor{Token: "t1"}), c.change); err != nil {
			t.Fatalf("%s: %v", c.want, err)
		}
		err := s.View(t.Context(), func(tx *Tx) error {
			log, err := tx.AuditLog(0, 100)
			if got := encode(log[len(log)-1].Changes); !strings.HasPrefix(got, c.want) {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestAuditLogIsAppendOnlyAndPartOfTheUpdate(t *testing.T) {
	s := openStore(t, t.TempDir())
	actor := &Actor{Token: "t1", TokenName: "laptop", From: "192.0.2.1", Action: "PUT /accounts/a/workers/scripts/api"}
	if _, err := deploy(WithActor(t.Context(), actor), s, "api", "code"); err != nil {
		t.Fatal(err)
	}
	failed := s.Update(WithActor(t.Context(), actor), func(tx *Tx) error { return errors.New("refused") })
	if failed == nil || !actor.Recorded {
		t.Errorf("failed update: %v, recorded %v", failed, actor.Recorded)
	}
	err := s.View(t.Context(), func(tx *Tx) error {
		log, err := tx.AuditLog(0, 10)
		if err != nil {
			return err
		}
		if len(log) != 1 || log[0].Seq != 1 || log[0].TokenName != "laptop" || len(log[0].Changes) != 1 ||
			log[0].Changes[0].Name != "api" || log[0].Changes[0].Before != nil || !strings.Contains(string(log[0].Changes[0].After), `"deployment"`) {
			t.Errorf("log is %+v", log)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{"DELETE FROM audit", "UPDATE audit SET data = '{}'"} {
		if err := s.Update(t.Context(), func(tx *Tx) error { return tx.exec(q) }); err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s: %v", q, err)
		}
	}
}

func TestAssetsCompleteOnceAndAreSwept(t *testing.T) {
	s := openStore(t, t.TempDir())
	mustDeploy(t, s, "site", "code")
	pin, err := s.PutBlob(strings.NewReader("<h1>hi</h1>"))
	if err != nil {
		t.Fatal(err)
	}
	file := AssetFile{Hash: "h1", Digest: pin.Digest.String(), Size: pin.Size, Type: "text/html"}
	var use AssetsUse
	err = s.Update(t.Context(), func(tx *Tx) error {
		session, missing, err := tx.StartAssets("site", map[string]string{"/index.html": "h1", "/copy.html": "h1", "/b.html": "h2"})
		if err != nil || len(missing) != 2 {
			return fmt.Errorf("missing %v, %w", missing, err)
		}
		if done, err := tx.AddAssets(session.ID, []AssetFile{file}); done || err != nil {
			return fmt.Errorf("complete %v after one of two files, %w", done, err)
		}
		if err := tx.AddManifest(NewID(), "site", session); !errors.Is(err, ErrNotFound) {
			return fmt.Errorf("manifest of an incomplete session: %w", err)
		}
		two := file
		two.Hash = "h2"
		if done, err := tx.AddAssets(session.ID, []AssetFile{two}); !done || err != nil {
			return fmt.Errorf("complete %v after both files, %w", done, err)
		}
		use.Manifest = NewID()
		err = tx.AddManifest(use.Manifest, "site", session)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	pin.Release()
	a, err := AssetsConfig(nil, &files{s: s, manifest: use.Manifest})
	if err != nil {
		t.Fatal(err)
	}
	f, ok := a.Files.Lookup("/copy.html")
	if !ok || f.Size != 11 || f.ContentType != "text/html" || f.ETag != "h1" || f.Digest != file.Digest {
		t.Errorf("lookup gave %+v, %v", f, ok)
	}
	if n, err := s.Sweep(t.Context()); n != 0 || err != nil {
		t.Errorf("sweep of live files deleted %d, %v", n, err)
	}
	err = s.Update(t.Context(), func(tx *Tx) error {
		if err := tx.exec("DELETE FROM asset_sessions"); err != nil {
			return err
		}
		return tx.DeleteWorker("site")
	})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := s.Sweep(t.Context()); n != 2 || err != nil {
		t.Errorf("sweep after the Worker was deleted deleted %d blobs, %v; want its module and its file", n, err)
	}
}

func TestAssetWanted(t *testing.T) {
	s := openStore(t, t.TempDir())
	err := s.Update(t.Context(), func(tx *Tx) error {
		session, missing, err := tx.StartAssets("site", map[string]string{"/a": "h1", "/same": "h1", "/b": "h2"})
		if err != nil {
			return err
		}
		if got := fmt.Sprint(missing); got != "[h1 h2]" {
			t.Errorf("missing: %s", got)
		}
		if complete, err := tx.AddAssets(session.ID, []AssetFile{{Hash: "h1", Digest: "d"}}); complete || err != nil {
			t.Errorf("with one of two files: complete %v, %v", complete, err)
		}
		for hash, want := range map[string]bool{"h1": true, "h2": true, "h3": false, "": false} {
			if got, err := tx.AssetWanted(session.ID, hash); got != want || err != nil {
				t.Errorf("%q: %v, %v, want %v", hash, got, err, want)
			}
		}
		if _, err := tx.AssetWanted("none", "h1"); !errors.Is(err, ErrNotFound) {
			t.Errorf("no such session: %v", err)
		}
		if complete, err := tx.AddAssets(session.ID, []AssetFile{{Hash: "h2", Digest: "d"}}); !complete || err != nil {
			t.Errorf("with both: complete %v, %v", complete, err)
		}
		again, missing, err := tx.StartAssets("site", map[string]string{"/a": "h1", "/c": "h3"})
		if got := fmt.Sprint(missing); got != "[h3]" {
			t.Errorf("missing of the next upload: %s", got)
		}
		if err := tx.AddManifest(NewID(), "site", again); !errors.Is(err, ErrNotFound) {
			t.Errorf("a manifest of files that are not all there: %v", err)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// testdata/v1.sql is what a directory of schema version 1 holds, and so on.
func TestUpgrade(t *testing.T) {
	for version := 1; version < len(migrations); version++ {
		t.Run(fmt.Sprint(version), func(t *testing.T) { testUpgrade(t, version) })
	}
}

func testUpgrade(t *testing.T, version int) {
	dir := t.TempDir()
	dump, err := os.ReadFile(fmt.Sprintf("testdata/v%d.sql", version))
	if err != nil {
		t.Fatal(err)
	}
	all := migrations
	migrations = nil
	db, err := openDatabase(t.Context(), filepath.Join(dir, "state.db"))
	migrations = all
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(string(dump)); err != nil {
		t.Fatal(err)
	}
	db.Close()
	key := bytes.Repeat([]byte{7}, 32)
	for range 2 { // the second time nothing is left to upgrade
		s, err := Open(t.Context(), Options{Dir: dir, Key: key, Blobs: newBlobs(t), Secrets: secrets})
		if err != nil {
			t.Fatal(err)
		}
		w := s.Current().Workers["api"]
		if s.Account() != "f1ea2386b6503db7dccfc822ffd1cabb" || w.Shares[0].Version.Number != 1 || w.Crons[0] != "*/5 * * * *" ||
			string(w.Shares[0].Version.Bindings[0].Raw) != `{"name":"TOKEN","text":"hunter2","type":"secret_text"}` {
			t.Errorf("upgraded snapshot has %+v", w)
		}
		if err := s.Update(t.Context(), func(tx *Tx) error { _, _, err := tx.StartAssets("api", nil); return err }); err != nil {
			t.Error(err)
		}
		s.Close()
	}
	if db, err = openDatabase(t.Context(), filepath.Join(dir, "state.db")); err != nil {
		t.Fatal(err)
	}
	db.Exec("PRAGMA user_version = 99")
	db.Close()
	if _, err := Open(t.Context(), Options{Dir: dir, Key: key}); err == nil || !strings.Contains(err.Error(), "newer program") {
		t.Errorf("opened a database of a newer program: %v", err)
	}
}

func newBlobs(t testing.TB) *blob.Store {
	t.Helper()
	b, err := blob.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTokensOfAnotherProcessAreSeen(t *testing.T) {
	dir := t.TempDir()
	server := openStore(t, dir)
	cli, err := Open(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer cli.Close()
	if err := cli.Update(t.Context(), func(tx *Tx) error {
		return tx.AddToken(Token{ID: "1", Name: "laptop", Hash: "h", Scopes: []string{"*"}, Created: time.Now()})
	}); err != nil {
		t.Fatal(err)
	}
	err = server.View(t.Context(), func(tx *Tx) error {
		got, err := tx.TokenByHash("h")
		if err == nil && got.Name != "laptop" {
			t.Errorf("token %+v", got)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func BenchmarkDeployBesideManyWorkers(b *testing.B) {
	for _, n := range []int{1, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := openStore(b, b.TempDir())
			for i := range n {
				mustDeploy(b, s, fmt.Sprint("w", i), "code")
			}
			for b.Loop() {
				mustDeploy(b, s, "w0", "code")
			}
		})
	}
}
