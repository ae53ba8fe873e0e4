package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/telemetry"
)

var (
	_ binding.Opener      = (*Kind)(nil)
	_ binding.Maker       = (*Kind)(nil)
	_ binding.Provisioner = (*Kind)(nil)
	_ binding.Deployer    = (*Kind)(nil)
	_ binding.Sweeper     = (*Kind)(nil)
	_ binding.Measurer    = (*Kind)(nil)
	_ binding.Router      = (*Kind)(nil)
	_ binding.Runner      = (*Kind)(nil)
	_ binding.Holder      = (*Kind)(nil)
	_ binding.Bounded     = (*Kind)(nil)

	_ binding.LocalRouter = (*Kind)(nil)
	_ binding.Inbox       = (*Kind)(nil)
)

// Open implements binding.Opener.
func (k *Kind) Open(home binding.Home) (err error) {
	k.store, err = OpenStore(home.Keyed, Options{Now: home.Now, Logger: home.Log, MaxBacklogBytes: home.Quota("queue")})
	return err
}

// Make implements binding.Maker.
func (k *Kind) Make(_ context.Context, b config.Binding) error {
	name, _, err := settings(b)
	if err != nil {
		return err
	}
	if _, err := k.store.Ensure(name); err != nil {
		return fmt.Errorf("binding %s (queue): %w", b.Name, err)
	}
	return nil
}

// Provision implements binding.Provisioner. A consumer's dead letter queue is made
// with the consumer.
func (k *Kind) Provision(_ string, b config.Binding) ([]binding.Provision, error) {
	var s struct {
		Name     string          `json:"queue_name"`
		Consumer json.RawMessage `json:"settings"`
	}
	if err := b.Decode(&s); err != nil {
		return nil, err
	}
	if s.Consumer != nil { // a trigger
		s.Name = b.Name
	}
	if s.Name == "" {
		return nil, nil
	}
	return []binding.Provision{{
		Name: "queue " + s.Name,
		Find: "/queues?name=" + url.QueryEscape(s.Name), Create: "/queues",
		Body: map[string]string{"queue_name": s.Name},
	}}, nil
}

// Deployable implements binding.Deployer.
func (k *Kind) Deployable(_ string, b config.Binding) error { return k.Validate(b) }

// Sweep implements binding.Sweeper: messages that are too old are not delivered,
// and here they are deleted.
func (k *Kind) Sweep(ctx context.Context) (int, error) { return k.store.Sweep(ctx) }

// Measure implements binding.Measurer.
func (k *Kind) Measure(m *telemetry.Metrics) {
	m.Depth("queue messages", func() int { return int(k.store.Backlog()) })
}

// Routes implements binding.Router.
func (k *Kind) Routes() []api.Route { return rest{k}.routes() }

// Holds implements binding.Holder. What counts is what the REST API was told:
// under `selvage dev` no Worker is deleted.
func (k *Kind) Holds(worker string) string {
	for _, q := range k.store.Queues() {
		if c := q.Info().Consumer; c != nil && c.Type == typeWorker && c.Script == worker {
			return fmt.Sprintf("script still in use as a consumer for a queue: %s; remove it with `wrangler queues consumer remove %[1]s %s` first", q.Name(), worker)
		}
	}
	return ""
}

// Post implements binding.Inbox.
func (k *Kind) Post(ctx context.Context, id string, messages [][]byte) error {
	q, err := k.inbox(id)
	if err != nil {
		return err
	}
	list := make([]Message, len(messages))
	for i, body := range messages {
		list[i] = Message{Body: body}
		if err := list[i].check("message length of %d bytes exceeds limit of %d"); err != nil {
			return err
		}
	}
	if err := q.Producer(-1).store(ctx, list); errors.Is(err, ErrNotFound) {
		return binding.ErrNoInbox
	} else if err != nil {
		return fmt.Errorf("queue %s: %w", q.Name(), err)
	}
	return nil
}

// InboxName implements binding.Inbox.
func (k *Kind) InboxName(id string) (string, error) {
	q, err := k.inbox(id)
	if err != nil {
		return "", err
	}
	return q.Name(), nil
}

func (k *Kind) inbox(id string) (*Queue, error) {
	q, err := k.store.Queue(id)
	if errors.Is(err, ErrNotFound) {
		return nil, binding.ErrNoInbox
	}
	return q, err
}

// largestPath is where the local API tells of the queue that holds most.
const largestPath = "/local/queues/largest"

// Quotas implements binding.Bounded.
func (*Kind) Quotas() []binding.Quota {
	return []binding.Quota{{Key: "queue", Name: "largest queue", Ask: largestPath}}
}

// LocalRoutes implements binding.LocalRouter.
func (k *Kind) LocalRoutes() []api.Route {
	return []api.Route{{Method: http.MethodGet, Path: largestPath, Handle: func(w http.ResponseWriter, r *http.Request) error {
		var largest struct {
			Name  string `json:"name"`
			Bytes int64  `json:"bytes"`
		}
		for _, q := range k.store.Queues() {
			if b := q.Metrics().Bytes; b > largest.Bytes {
				largest.Name, largest.Bytes = q.Name(), b
			}
		}
		return api.Write(w, largest)
	}}}
}
