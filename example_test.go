package selvage_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing/fstest"
	"time"

	"github.com/selvage-edge/selvage"
	"github.com/selvage-edge/selvage/binding/analytics"
	"github.com/selvage-edge/selvage/binding/assets"
	"github.com/selvage-edge/selvage/binding/d1"
	"github.com/selvage-edge/selvage/binding/kv"
	"github.com/selvage-edge/selvage/binding/queue"
	"github.com/selvage-edge/selvage/binding/r2"
	"github.com/selvage-edge/selvage/binding/ratelimit"
	"github.com/selvage-edge/selvage/binding/workflow"
	"github.com/selvage-edge/selvage/config"
)

// ask starts a platform for an example and prints what its first Worker answers
// to each path.
func ask(paths []string, options ...selvage.Option) {
	dir, err := os.MkdirTemp("", "selvage-example-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	quiet := slog.New(slog.DiscardHandler)
	p, err := selvage.New(context.Background(), append(options, selvage.WithData(dir), selvage.WithLogger(quiet))...)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close(context.Background())
	for _, path := range paths {
		w := httptest.NewRecorder()
		p.Handler().ServeHTTP(w, httptest.NewRequest("GET", "http://localhost"+path, nil))
		fmt.Println(w.Code, w.Body)
	}
}

// A Worker that keeps counters in Workers KV.
func Example_kv() {
	type Env struct {
		Counters *kv.Namespace `binding:"COUNTERS"`
	}
	counter := func(env *Env) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			old, err := env.Counters.Get(r.Context(), r.URL.Path)
			if err != nil && !errors.Is(err, kv.ErrNotFound) {
				panic(err) // error 1101
			}
			value := append(old, '|')
			if err := env.Counters.Put(r.Context(), r.URL.Path, value, kv.PutOptions{ExpirationTTL: time.Hour}); err != nil {
				panic(err)
			}
			w.Write(value)
		})
	}
	ask([]string{"/a", "/a", "/b"}, selvage.Worker("counter", counter))
	// Output:
	// 200 |
	// 200 ||
	// 200 |
}

// A Worker with a D1 database, by D1's own calls.
func Example_d1() {
	type Env struct {
		DB *d1.Database `binding:"DB"`
	}
	users := func(env *Env) http.Handler {
		if _, err := env.DB.Exec(context.Background(), "CREATE TABLE IF NOT EXISTS user (name TEXT)"); err != nil {
			panic(err)
		}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			results, err := env.DB.Batch(r.Context(), // one transaction
				env.DB.Prepare("INSERT INTO user (name) VALUES (?)").Bind(r.URL.Path[1:]),
				env.DB.Prepare("SELECT group_concat(name) AS names FROM user"))
			if err != nil {
				panic(err)
			}
			fmt.Fprint(w, results[1].Rows[0][0])
		})
	}
	ask([]string{"/ada", "/grace"}, selvage.Worker("users", users))
	// Output:
	// 200 ada
	// 200 ada,grace
}

// The same kind of binding through database/sql, with a transaction.
func Example_sql() {
	type Env struct {
		DB *sql.DB `binding:"DB"`
	}
	bank := func(env *Env) http.Handler {
		if _, err := env.DB.Exec("CREATE TABLE IF NOT EXISTS account (id INTEGER PRIMARY KEY, cents INTEGER CHECK (cents >= 0)); INSERT OR IGNORE INTO account VALUES (1, 100), (2, 0)"); err != nil {
			panic(err)
		}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			tx, err := env.DB.BeginTx(r.Context(), nil)
			if err != nil {
				panic(err)
			}
			defer tx.Rollback()
			_, err = tx.Exec("UPDATE account SET cents = cents + 70 WHERE id = :to", sql.Named("to", 2))
			if err == nil {
				_, err = tx.Exec("UPDATE account SET cents = cents - 70 WHERE id = ?", 1)
			}
			if err == nil {
				err = tx.Commit()
			}
			var refused *d1.Error
			if errors.As(err, &refused) {
				http.Error(w, refused.Message, http.StatusConflict)
				return
			}
			io.WriteString(w, "moved")
		})
	}
	ask([]string{"/", "/"}, selvage.Worker("bank", bank))
	// Output:
	// 200 moved
	// 409 CHECK constraint failed: cents >= 0: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_CHECK)
}

// A Worker that sheds load.
func Example_rateLimit() {
	type Env struct {
		Limit *ratelimit.Limiter `binding:"LIMIT"`
	}
	login := func(env *Env) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if ok, err := env.Limit.Limit(r.Context(), selvage.ClientIP(r.Context()).String()); err != nil || !ok {
				http.Error(w, "slow down", http.StatusTooManyRequests)
				return
			}
			io.WriteString(w, "welcome")
		})
	}
	noon := func() time.Time { return time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC) }
	ask([]string{"/", "/", "/"}, selvage.WithClock(noon),
		selvage.Worker("login", login, selvage.WithRateLimit("LIMIT", "logins", 2, time.Minute)))
	// Output:
	// 200 welcome
	// 200 welcome
	// 429 slow down
}

// mailer sends mail behind the answer to a request. It does so as a Consumer,
// for the queue that it sends to itself.
type mailer struct {
	Jobs *queue.Producer `binding:"JOBS"`
	sent chan string
}

func (m *mailer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := m.Jobs.SendJSON(r.Context(), "welcome, "+r.URL.Path[1:]); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	io.WriteString(w, <-m.sent)
}

func (m *mailer) Queue(ctx context.Context, b *selvage.Batch) error {
	for _, message := range b.Messages {
		if message.Attempts == 1 {
			message.Retry(0) // the mail server is busy
			continue
		}
		m.sent <- fmt.Sprintf("%s: %s, at attempt %d", b.Queue, message.Body, message.Attempts)
	}
	return nil
}

// A Worker that does work later, by a queue.
func Example_queue() {
	start := func(m *mailer) http.Handler {
		m.sent = make(chan string, 1)
		return m
	}
	ask([]string{"/ann", "/bob"}, selvage.Worker("mailer", start, selvage.WithQueue("JOBS", "mails"),
		selvage.WithConsumer("mails", queue.Consumer{Settings: queue.ConsumerSettings{MaxWaitTime: new(0)}})))
	// Output:
	// 200 mails: "welcome, ann", at attempt 2
	// 200 mails: "welcome, bob", at attempt 2
}

// A Worker that keeps files.
func Example_r2() {
	type Env struct {
		Files *r2.Bucket `binding:"FILES"`
	}
	files := func(env *Env) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			first := &r2.Conditional{ETagDoesNotMatch: []r2.ETag{{Any: true}}}
			_, err := env.Files.Put(r.Context(), "notes/today", strings.NewReader("0123456789"), r2.PutOptions{OnlyIf: first})
			if errors.Is(err, r2.ErrPreconditionFailed) {
				w.Header().Set("X-Note", "it is there already")
			} else if err != nil {
				panic(err)
			}
			object, err := env.Files.Get(r.Context(), r.URL.Path[1:], r2.GetOptions{RangeHeader: "bytes=2-4"})
			if errors.Is(err, r2.ErrNoSuchKey) {
				http.NotFound(w, r)
				return
			}
			if err != nil {
				panic(err)
			}
			defer object.Close()
			fmt.Fprintf(w, "%d of %d bytes: ", object.Length, object.Size)
			io.Copy(w, object)
		})
	}
	ask([]string{"/notes/today", "/notes/today", "/none"}, selvage.Worker("files", files, selvage.WithR2("FILES", "files")))
	// Output:
	// 200 3 of 10 bytes: 234
	// 200 3 of 10 bytes: 234
	// 404 404 page not found
}

// shop takes orders, each an instance of a Workflow that may last for days.
type shop struct {
	Orders *workflow.Workflow `binding:"ORDERS"`
	ended  chan string
}

func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Path[1:]
	if _, err := s.Orders.Create(r.Context(), workflow.Create{ID: &id, Params: workflow.Value(`{"item":"book"}`)}); err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	if err := s.Orders.SendEvent(r.Context(), id, "paid", nil); err != nil {
		panic(err)
	}
	io.WriteString(w, <-s.ended)
}

// Workflow runs from its start whenever the order goes on. What is in a step is done
// once.
func (s *shop) Workflow(ctx context.Context, e workflow.Event, steps *workflow.Steps) (any, error) {
	tries := 0
	packed, err := steps.Do(ctx, "pack", workflow.StepOptions{Retries: 3, Delay: time.Millisecond}, func(context.Context) (any, error) {
		if tries++; tries == 1 {
			return nil, errors.New("no box")
		}
		return "packed " + string(e.Params), nil
	})
	if err != nil {
		return nil, err
	}
	if _, err := steps.WaitForEvent(ctx, "payment", "paid", time.Hour); err != nil {
		return nil, err
	}
	var text string
	if err := packed.Decode(&text); err != nil {
		return nil, err
	}
	s.ended <- e.ID + ": " + text
	return text, nil
}

// A Worker that does work in steps, whatever happens to the program meanwhile.
func Example_workflow() {
	start := func(s *shop) http.Handler {
		s.ended = make(chan string, 1)
		return s
	}
	ask([]string{"/one", "/two", "/one"}, selvage.Worker("shop", start,
		selvage.WithWorkflow("ORDERS", "orders", "shop", "orders"), selvage.WithRunner("orders")))
	// Output:
	// 200 one: packed {"item":"book"}
	// 200 two: packed {"item":"book"}
	// 409 WorkflowError: (instance.already_exists) Workflow instance with id "one" already exists
}

// A Worker that counts page views in Analytics Engine. Clients of the REST API, or
// `selvage analytics`, ask for them by SQL.
func Example_analytics() {
	type Env struct {
		Views *analytics.Dataset `binding:"VIEWS"`
	}
	page := func(env *Env) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			err := env.Views.WriteDataPoint(analytics.Point{Index: r.Host, Blobs: []string{r.URL.Path}, Doubles: []float64{1}})
			fmt.Fprint(w, "counted, error: ", err)
		})
	}
	ask([]string{"/a"}, selvage.Worker("page", page, selvage.WithAnalytics("VIEWS", "page_views")))
	// Output: 200 counted, error: <nil>
}

// A Worker that calls another one. Whether that is written in Go or in
// JavaScript makes no difference to the caller.
func Example_service() {
	type Env struct {
		Billing selvage.Service `binding:"BILLING"` // or *http.Client
	}
	shop := func(env *Env) http.Handler {
		client := env.Billing.Client()
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			// The context carries the request's identity on to the other Worker.
			sub, _ := http.NewRequestWithContext(r.Context(), "GET", "http://billing/invoice"+r.URL.Path, nil)
			res, err := client.Do(sub)
			if err != nil {
				panic(err)
			}
			defer res.Body.Close()
			io.Copy(w, res.Body)
		})
	}
	billing := func(*struct{}) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "%s asks for %s", r.Host, r.URL.Path)
		})
	}
	ask([]string{"/7"},
		selvage.Worker("shop", shop, selvage.WithService("BILLING", "billing")),
		selvage.Worker("billing", billing, selvage.WithPrivate()))
	// Output: 200 billing asks for /invoice/7
}

// A Worker in Go in front of Durable Objects, whose class a project in
// JavaScript has.
func Example_durable() {
	project := fstest.MapFS{
		"rooms/wrangler.toml": {Data: []byte(`name = "rooms"
main = "index.js"
compatibility_date = "2026-01-01"
[[migrations]]
tag = "v1"
new_sqlite_classes = ["Room"]
`)},
		"rooms/index.js": {Data: []byte(`import { DurableObject } from "cloudflare:workers";
export class Room extends DurableObject {
  async fetch() {
    const visits = (await this.ctx.storage.get("visits") ?? 0) + 1;
    await this.ctx.storage.put("visits", visits);
    return new Response(this.ctx.id.name + ": visit " + visits);
  }
}
export default {};`)},
	}
	type Env struct {
		Rooms selvage.Durable `binding:"ROOMS"`
	}
	door := func(env *Env) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			room := env.Rooms.GetByName(r.URL.Path[1:]).Client()
			sub, _ := http.NewRequestWithContext(r.Context(), "GET", "http://room/", nil)
			res, err := room.Do(sub)
			if err != nil {
				panic(err)
			}
			defer res.Body.Close()
			io.Copy(w, res.Body)
		})
	}
	ask([]string{"/kitchen", "/kitchen", "/attic"},
		selvage.Worker("door", door, selvage.WithDurable("ROOMS", "rooms", "Room")),
		selvage.Project(project, "rooms", selvage.WithPrivate()))
	// Output:
	// 200 kitchen: visit 1
	// 200 kitchen: visit 2
	// 200 attic: visit 1
}

// A Worker whose static files answer first.
func Example_assets() {
	dir, _ := os.MkdirTemp("", "selvage-site-")
	defer os.RemoveAll(dir)
	os.WriteFile(filepath.Join(dir, "index.html"), []byte("home"), 0o600)
	files, err := assets.OpenDir(dir)
	if err != nil {
		panic(err)
	}
	type Env struct {
		Assets http.Handler `binding:"ASSETS"`
	}
	site := func(env *Env) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/start" {
				r.URL.Path = "/"
				env.Assets.ServeHTTP(w, r)
				return
			}
			io.WriteString(w, "made for "+r.URL.Path)
		})
	}
	ask([]string{"/", "/page", "/start"}, selvage.Worker("site", site, selvage.WithAssets("ASSETS", &config.Assets{Files: files})))
	// Output:
	// 200 home
	// 200 made for /page
	// 200 home
}

// Variables of any type, and a secret that does not show itself.
func Example_vars() {
	type Env struct {
		Greeting string         `binding:"GREETING"`
		Limits   map[string]int `binding:"LIMITS"`
		Key      selvage.Secret `binding:"API_KEY"`
	}
	show := func(env *Env) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, env.Greeting, " ", env.Limits["depth"], " ", env.Key, " ", len(env.Key.Reveal()))
		})
	}
	ask([]string{"/"}, selvage.Worker("show", show,
		selvage.WithVar("GREETING", "hello"), selvage.WithVar("LIMITS", map[string]int{"depth": 3}), selvage.WithSecret("API_KEY", "12345")))
	// Output: 200 hello 3 [secret] 5
}
