package selvage

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/selvage-edge/selvage/binding/queue"
	"github.com/selvage-edge/selvage/binding/workflow"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/platform"
)

// Option is a Worker, a project or a setting of the platform.
type Option func(*settings)

type settings struct {
	data       string
	logger     *slog.Logger
	workers    []func(ctx context.Context, b *built) (platform.Builtin, error)
	configures []func(*platform.Options)
}

// WithData sets the data directory. Default for New: .selvage in the current
// folder. Main has the flag --data instead.
func WithData(dir string) Option { return func(s *settings) { s.data = dir } }

// WithLogger sets where the platform logs, and Workers with it. Default
// slog.Default().
func WithLogger(l *slog.Logger) Option { return func(s *settings) { s.logger = l } }

// WithClock sets the clock of what is stored: expirations, rate limits,
// creation times. Cron triggers are no longer fired; call [Platform.Scheduled].
func WithClock(now func() time.Time) Option {
	return WithPlatform(func(o *platform.Options) { o.Now, o.Crons = now, false })
}

// WithPlatform changes any setting of the platform, after all others were made.
func WithPlatform(change func(*platform.Options)) Option {
	return func(s *settings) { s.configures = append(s.configures, change) }
}

// WorkerOption is a binding or a setting of one Worker in Go.
type WorkerOption func(*definition)

// definition is what options say about a Worker.
type definition struct {
	name     string
	bindings []config.Binding
	routes   []config.Route
	crons    []string
	triggers []config.Binding
	tailOf   []string
	needs    []need
	assets   *config.Assets
	private  bool
	problems []error
}

// WithBinding adds a binding in the form of Cloudflare's upload API: its type
// and its settings, a struct or map that marshals to a JSON object.
//
// Source: https://developers.cloudflare.com/workers/configuration/multipart-upload-metadata/#bindings
func WithBinding(name, typ string, settings any) WorkerOption {
	return func(d *definition) {
		b, err := config.NewBinding(name, typ, settings)
		if err != nil {
			d.problems = append(d.problems, err)
			return
		}
		for i := range d.bindings {
			if d.bindings[i].Name == name {
				d.bindings[i] = b // the later option wins
				return
			}
		}
		d.bindings = append(d.bindings, b)
	}
}

// WithKV binds a KV namespace by its id. Without this option a *kv.Namespace is
// the namespace whose id is the binding's name.
func WithKV(name, id string) WorkerOption {
	return WithBinding(name, "kv_namespace", map[string]string{"namespace_id": id})
}

// WithD1 binds a D1 database by its id. Without this option a *d1.Database or
// *sql.DB is the database whose id is the binding's name.
func WithD1(name, id string) WorkerOption {
	return WithBinding(name, "d1", map[string]string{"id": id})
}

// WithQueue binds a queue by its name. Without this option a *queue.Producer is
// the queue that has the binding's name.
func WithQueue(name, queue string) WorkerOption {
	return WithBinding(name, "queue", map[string]string{"queue_name": queue})
}

// WithR2 binds an R2 bucket by its name. Without this option a *r2.Bucket is the
// bucket that has the binding's name.
func WithR2(name, bucket string) WorkerOption {
	return WithBinding(name, "r2_bucket", map[string]string{"bucket_name": bucket})
}

// WithWorkflow binds the Workflow of a name, a *workflow.Workflow, which is of a
// class of a Worker. If that is in Go, what it is called by makes no difference.
func WithWorkflow(name, workflow, worker, class string) WorkerOption {
	return WithBinding(name, "workflow", map[string]string{"workflow_name": workflow, "script_name": worker, "class_name": class})
}

// WithAnalytics binds a data set of Analytics Engine by its name. Without this
// option an *analytics.Dataset is the data set that has the binding's name.
func WithAnalytics(name, dataset string) WorkerOption {
	return WithBinding(name, "analytics_engine", map[string]string{"dataset": dataset})
}

// WithService binds another Worker.
func WithService(name, worker string) WorkerOption {
	return WithBinding(name, "service", map[string]string{"service": worker})
}

// WithDurable binds a Durable Object class of a Worker in JavaScript.
func WithDurable(name, worker, class string) WorkerOption {
	return WithBinding(name, "durable_object_namespace", map[string]string{"script_name": worker, "class_name": class})
}

// WithRateLimit binds a rate limiter that allows limit uses of a key in each
// period, 10 or 60 seconds. Limiters of one namespace share their counters.
func WithRateLimit(name, namespace string, limit int, period time.Duration) WorkerOption {
	return WithBinding(name, "ratelimit", map[string]any{
		"namespace_id": namespace, "simple": map[string]any{"limit": limit, "period": int(period / time.Second)},
	})
}

// WithVar sets a variable: a string, or whatever marshals to JSON.
func WithVar(name string, value any) WorkerOption {
	if text, ok := value.(string); ok {
		return WithBinding(name, "plain_text", map[string]string{"text": text})
	}
	return WithBinding(name, "json", map[string]any{"json": value})
}

// WithSecret sets a secret.
func WithSecret(name, text string) WorkerOption {
	return WithBinding(name, "secret_text", map[string]string{"text": text})
}

// WithPrivate gives the Worker no address of its own: only service bindings,
// cron triggers and routes reach it. Otherwise it answers at <name>.localhost,
// or below the workers domain, past any gateway in front of it.
func WithPrivate() WorkerOption { return func(d *definition) { d.private = true } }

// WithCron adds cron triggers in Cloudflare's dialect, UTC. The handler must be
// a [Scheduler].
func WithCron(expressions ...string) WorkerOption {
	return func(d *definition) {
		d.crons = append(d.crons, expressions...)
		needs[Scheduler](d, "WithCron", "Scheduled")
	}
}

// WithConsumer has the Worker receive the messages of a queue, which is made if
// it does not exist. Of c, settings and dead letter queue count. The handler must
// be a [Consumer].
func WithConsumer(queue string, c queue.Consumer) WorkerOption {
	return func(d *definition) {
		trigger, err := c.Trigger(queue)
		if err != nil {
			d.problems = append(d.problems, fmt.Errorf("consumer of queue %q: %w", queue, err))
			return
		}
		d.triggers = append(d.triggers, trigger)
		needs[Consumer](d, "WithConsumer", "Queue")
	}
}

// WithRunner has the Worker run the instances of a Workflow, which is made if it
// does not exist. The handler must be a [Runner].
func WithRunner(name string) WorkerOption {
	return func(d *definition) {
		trigger, err := workflow.Trigger(name)
		if err != nil {
			d.problems = append(d.problems, err)
			return
		}
		d.triggers = append(d.triggers, trigger)
		needs[Runner](d, "WithRunner", "Workflow")
	}
}

// WithRoute has the Worker answer a pattern such as "example.com/api/*".
func WithRoute(pattern string) WorkerOption {
	return func(d *definition) {
		d.routes = append(d.routes, config.Route{Pattern: pattern, Worker: d.name})
	}
}

// WithDomain has the Worker answer every path of a host.
func WithDomain(host string) WorkerOption {
	return func(d *definition) {
		d.routes = append(d.routes, config.Route{Pattern: host, Worker: d.name, CustomDomain: true})
	}
}

// WithTail has the Worker told what other Workers do; "*" is all of them. The
// handler must be a [Tailer]. Observing a Worker in JavaScript costs it
// throughput.
func WithTail(workers ...string) WorkerOption {
	return func(d *definition) {
		d.tailOf = append(d.tailOf, workers...)
		needs[Tailer](d, "WithTail", "Tail")
	}
}

// WithAssets serves static files before the handler is asked, as Cloudflare
// does. name, when not empty, is a binding for a field of type http.Handler,
// which serves them on demand. assets.OpenDir opens a folder.
func WithAssets(name string, a *config.Assets) WorkerOption {
	return func(d *definition) {
		d.assets = a
		if name != "" {
			WithBinding(name, "assets", nil)(d)
		}
	}
}
