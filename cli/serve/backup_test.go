package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/selvage-edge/selvage/internal/poll"
	"github.com/selvage-edge/selvage/platform"
)

// recorder writes n to every kind of storage, and tells what is there.
const recorder = `import { DurableObject } from "cloudflare:workers";
export class Last extends DurableObject {
  write(n) { this.ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS t (n INTEGER)"); this.ctx.storage.sql.exec("INSERT INTO t VALUES (?)", n) }
  all() { return this.ctx.storage.sql.exec("SELECT n FROM t ORDER BY n").toArray().map((r) => r.n) }
}
export default { async fetch(r, env) {
  const [what, n] = new URL(r.url).pathname.slice(1).split("/");
  const last = env.DO.get(env.DO.idFromName("x"));
  if (what === "init") { await env.DB.exec("CREATE TABLE t (n INTEGER)"); return new Response("ok") }
  if (what === "write") {
    await env.KV.put("n" + n, n === "0" ? "x".repeat(200_000) : n + "y".repeat(70_000));
    await env.DB.prepare("INSERT INTO t VALUES (?)").bind(+n).run();
    await last.write(+n);
    return new Response("ok");
  }
  const kv = [];
  for (let k = 0; k < +n; k++) if ((await env.KV.get("n" + k))?.length >= 70_000) kv.push(k);
  const d1 = (await env.DB.prepare("SELECT n FROM t ORDER BY n").all()).results.map((r) => r.n);
  return Response.json({ kv, d1, do: await last.all(), secret: env.S });
} }`

// local calls the API that the command line uses.
func local(t testing.TB, dir, path string) *http.Response {
	t.Helper()
	var holder platform.Holder
	data, err := os.ReadFile(filepath.Join(dir, "lock"))
	if err != nil || json.Unmarshal(data, &holder) != nil {
		t.Fatalf("%s, %v", data, err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", holder.Socket)
	}}}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://selvage/client/v4/local"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set(platform.LocalHeader, holder.Secret)
	res, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	return res
}

// A backup that is taken while Workers write holds everything that was
// acknowledged before it began, and a server that was restored from it goes on.
func TestBackupUnderLoad(t *testing.T) {
	s := testSettings(t.TempDir())
	r := start(t, s, Options{})
	var namespace, database struct{ ID, UUID string }
	if err := r.api("POST", "/storage/kv/namespaces", "application/json", strings.NewReader(`{"title":"kv"}`), &namespace); err != nil {
		t.Fatal(err)
	}
	if err := r.api("POST", "/d1/database", "application/json", strings.NewReader(`{"name":"db"}`), &database); err != nil {
		t.Fatal(err)
	}
	r.deploy("web", recorder, map[string]any{
		"bindings": []any{
			map[string]any{"type": "kv_namespace", "name": "KV", "namespace_id": namespace.ID},
			map[string]any{"type": "d1", "name": "DB", "id": database.UUID},
			map[string]any{"type": "durable_object_namespace", "name": "DO", "class_name": "Last"},
			map[string]any{"type": "secret_text", "name": "S", "text": "hush"},
		},
		"migrations": map[string]any{"new_tag": "v1", "steps": []any{map[string]any{"new_sqlite_classes": []string{"Last"}}}},
	})
	r.want("web", "/init", 200, "ok")
	var next, failed atomic.Int64
	var mu sync.Mutex
	var acknowledged []int
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for range 4 {
		writers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				n := int(next.Add(1) - 1)
				if status, body, err := r.ask("web", "GET", fmt.Sprintf("/write/%d", n), nil); err != nil || status != 200 {
					t.Log(status, body, err)
					failed.Add(1)
					continue
				}
				mu.Lock()
				acknowledged = append(acknowledged, n)
				mu.Unlock()
			}
		})
	}
	poll.Until(t, "100 writes", func() bool { return next.Load() >= 100 })
	mu.Lock()
	before := slices.Clone(acknowledged)
	mu.Unlock()
	var copied bytes.Buffer
	_, err := io.Copy(&copied, local(t, s.Data, "/backup?key=true").Body)
	close(stop)
	writers.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if n := failed.Load(); n > 0 {
		t.Errorf("%d writes failed during the backup", n)
	}
	left, _ := filepath.Glob(filepath.Join(s.Data, "backup-*"))
	if len(left) > 0 {
		t.Errorf("the backup left %v", left)
	}

	other := filepath.Join(t.TempDir(), "restored")
	if _, err := platform.Restore(bytes.NewReader(copied.Bytes()), other); err != nil {
		t.Fatal(err)
	}
	if _, err := platform.Restore(bytes.NewReader(copied.Bytes()), other); err == nil || !strings.Contains(err.Error(), "is not empty") {
		t.Errorf("restored over data: %v", err)
	}
	restored := start(t, testSettings(other), Options{})
	if restored.account != r.account {
		t.Error("the account differs")
	}
	_, body, err := restored.ask("web", "GET", fmt.Sprintf("/all/%d", next.Load()), nil)
	if err != nil {
		t.Fatal(err)
	}
	var all struct {
		KV, D1, DO []int
		Secret     string
	}
	if err := json.Unmarshal([]byte(body), &all); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	if all.Secret != "hush" {
		t.Errorf("secret %q", all.Secret)
	}
	for kind, list := range map[string][]int{"KV": all.KV, "D1": all.D1, "Durable Objects": all.DO} {
		have := map[int]bool{}
		for _, n := range list {
			have[n] = true
		}
		for _, n := range before {
			if !have[n] {
				t.Errorf("%s: the write %d, acknowledged before the backup, is lost", kind, n)
				break
			}
		}
	}
	restored.want("web", fmt.Sprintf("/write/%d", next.Load()), 200, "ok")
}

// A restore that was interrupted is not taken for a server's data.
func TestInterruptedRestore(t *testing.T) {
	s := testSettings(t.TempDir())
	if err := os.Mkdir(filepath.Join(s.Data, "restoring"), 0o700); err != nil {
		t.Fatal(err)
	}
	err := Run(t.Context(), Options{Settings: s, Stdout: io.Discard, Stderr: io.Discard})
	if err == nil || !strings.Contains(err.Error(), "restore into it was interrupted") {
		t.Error(err)
	}
	other := t.TempDir()
	if _, err := platform.Restore(strings.NewReader("nonsense"), other); err == nil {
		t.Error("nonsense was restored")
	}
	if entries, _ := os.ReadDir(other); len(entries) != 1 {
		t.Errorf("a refused backup left %v", entries)
	}
}
