package queue

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/config"
)

// rest is the operations of the REST API on queues, as wrangler and the SDKs
// call them. api_messages.go has those on messages.
//
// Source: https://developers.cloudflare.com/api/resources/queues/
type rest struct{ k *Kind }

func (a rest) routes() []api.Route {
	const all = "/accounts/{account}/queues"
	const one = all + "/{queue}"
	group := api.Group{Scope: "queues", Report: report}
	read, edit := group.Read, group.Edit
	return []api.Route{
		edit("POST", all, a.create),
		read("GET", all, a.list),
		read("GET", one, a.info),
		edit("PUT", one, a.replace),
		edit("PATCH", one, a.update),
		edit("DELETE", one, a.remove),
		edit("POST", one+"/purge", a.purge),
		read("GET", one+"/purge", a.purgeStatus),
		read("GET", one+"/consumers", a.consumers),
		edit("POST", one+"/consumers", a.addConsumer),
		read("GET", one+"/consumers/{consumer}", a.consumer),
		edit("PUT", one+"/consumers/{consumer}", a.setConsumer),
		edit("DELETE", one+"/consumers/{consumer}", a.removeConsumer),
		edit("POST", one+"/messages", a.push),
		edit("POST", one+"/messages/batch", a.pushBatch),
		edit("POST", one+"/messages/pull", a.pull),
		edit("POST", one+"/messages/ack", a.ack),
		edit("POST", one+"/messages/peek", a.peek),
		edit("POST", one+"/messages/purge", a.purgeMessages),
	}
}

// report turns the store's errors into those of the API.
func report(err error) error {
	var refusal *Error
	switch {
	case errors.As(err, &refusal):
		return api.Errorf(refusal.Status, refusal.Code, "%s", refusal.Text)
	case errors.Is(err, ErrNameTaken):
		return api.Errorf(http.StatusConflict, codeNameTaken, "Queue name is already taken. Please use a different name and try again.")
	case errors.Is(err, ErrConsumerExists):
		return api.Errorf(http.StatusBadRequest, codeConsumerHere, "The queue has a consumer already; remove it with `wrangler queues consumer remove` first.")
	case errors.Is(err, ErrConsumerNotFound):
		return api.Errorf(http.StatusNotFound, ErrNotFound.Code, "Consumer does not exist")
	}
	return err
}

func (a rest) queue(r *http.Request) (*Queue, error) { return a.k.store.Queue(r.PathValue("queue")) }

// queueReply is a queue as the API shows it.
type queueReply struct {
	ID             string          `json:"queue_id"`
	Name           string          `json:"queue_name"`
	Created        time.Time       `json:"created_on"`
	Modified       time.Time       `json:"modified_on"`
	Producers      []producerReply `json:"producers"`
	ProducersTotal int             `json:"producers_total_count"`
	Consumers      []consumerReply `json:"consumers"`
	ConsumersTotal int             `json:"consumers_total_count"`
	Settings       Settings        `json:"settings"`
}

type producerReply struct {
	Type   string `json:"type"`
	Script string `json:"script"`
}

// consumerReply is a consumer. Old clients look for script_name.
type consumerReply struct {
	Consumer
	ScriptName string `json:"script_name,omitempty"`
	QueueName  string `json:"queue_name"`
	QueueID    string `json:"queue_id"`
}

func (q *Queue) consumerReply(c Consumer) consumerReply {
	return consumerReply{c, c.Script, q.Name(), q.id}
}

func (a rest) reply(q *Queue, producers []string) queueReply {
	i := q.Info()
	r := queueReply{
		ID: i.ID, Name: i.Name, Created: i.Created, Modified: i.Modified, Settings: i.Settings,
		Producers: []producerReply{}, ProducersTotal: len(producers), Consumers: []consumerReply{},
	}
	for _, script := range producers {
		r.Producers = append(r.Producers, producerReply{"worker", script})
	}
	if i.Consumer != nil {
		r.Consumers = append(r.Consumers, q.consumerReply(*i.Consumer))
	}
	r.ConsumersTotal = len(r.Consumers)
	return r
}

// producers are the Workers with a binding to each queue, by its name. Without
// running Workers there are none.
func (a rest) producers() map[string][]string {
	source := a.k.source.Load()
	if source == nil {
		return nil
	}
	of := map[string][]string{}
	for worker, w := range (*source).Current().Workers {
		for _, share := range w.Shares {
			for _, name := range a.sendsTo(share.Version) {
				if !slices.Contains(of[name], worker) {
					of[name] = append(of[name], worker)
				}
			}
		}
	}
	for _, list := range of {
		slices.Sort(list)
	}
	return of
}

func (a rest) sendsTo(v *config.Version) (names []string) {
	for _, b := range v.Bindings {
		if b.Type != a.k.Type() {
			continue
		}
		if name, _, err := settings(b); err == nil {
			names = append(names, name)
		}
	}
	return names
}

func (a rest) write(w http.ResponseWriter, q *Queue) error {
	return api.Write(w, a.reply(q, a.producers()[q.Name()]))
}

// queueRequest is a queue as clients describe it; what is missing stays as it is.
type queueRequest struct {
	Name     *string `json:"queue_name"`
	Settings struct {
		Delay     *int  `json:"delivery_delay"`
		Paused    *bool `json:"delivery_paused"`
		Retention *int  `json:"message_retention_period"`
	} `json:"settings"`
}

func (r queueRequest) over(name string, s Settings) (string, Settings) {
	if r.Name != nil {
		name = *r.Name
	}
	if v := r.Settings.Delay; v != nil {
		s.DeliveryDelay = *v
	}
	if v := r.Settings.Paused; v != nil {
		s.DeliveryPaused = *v
	}
	if v := r.Settings.Retention; v != nil {
		s.Retention = *v
	}
	return name, s
}

var defaults = Settings{Retention: int(DefaultRetention / time.Second)}

func (a rest) create(w http.ResponseWriter, r *http.Request) error {
	var req queueRequest
	if err := api.Decode(r, &req); err != nil {
		return err
	}
	name, settings := req.over("", defaults)
	if err := settings.check(); err != nil {
		return err
	}
	q, err := a.k.store.Create(name, settings)
	if err != nil {
		return err
	}
	return a.write(w, q)
}

// list answers with the queues of the names that are asked for, or all.
func (a rest) list(w http.ResponseWriter, r *http.Request) error {
	names := r.URL.Query()["name"]
	list := slices.DeleteFunc(a.k.store.Queues(), func(q *Queue) bool {
		return len(names) > 0 && !slices.Contains(names, q.Name())
	})
	cut, page := api.Paginate(r, list, 100)
	producers := a.producers()
	replies := make([]queueReply, len(cut))
	for i, q := range cut {
		replies[i] = a.reply(q, producers[q.Name()])
	}
	return api.WriteList(w, replies, page)
}

func (a rest) info(w http.ResponseWriter, r *http.Request) error {
	q, err := a.queue(r)
	if err != nil {
		return err
	}
	return a.write(w, q)
}

func (a rest) update(w http.ResponseWriter, r *http.Request) error { return a.edit(w, r, false) }

// replace sets what is missing to its default.
func (a rest) replace(w http.ResponseWriter, r *http.Request) error { return a.edit(w, r, true) }

func (a rest) edit(w http.ResponseWriter, r *http.Request, whole bool) error {
	q, err := a.queue(r)
	if err != nil {
		return err
	}
	var req queueRequest
	if err := api.Decode(r, &req); err != nil {
		return err
	}
	info := q.Info()
	if whole {
		info.Settings = defaults
	}
	if err := q.Update(req.over(info.Name, info.Settings)); err != nil {
		return err
	}
	return a.write(w, q)
}

func (a rest) remove(w http.ResponseWriter, r *http.Request) error {
	q, err := a.queue(r)
	if err != nil {
		return err
	}
	if by := a.producers()[q.Name()]; len(by) > 0 {
		return refuse(http.StatusBadRequest, codeBound, "Queue %q is bound by the Worker %s; deploy that without the binding, or delete it, first", q.Name(), strings.Join(by, ", "))
	}
	if err := q.Delete(); err != nil {
		return err
	}
	return api.Write(w, nil)
}

func (a rest) purge(w http.ResponseWriter, r *http.Request) error {
	q, err := a.queue(r)
	if err != nil {
		return err
	}
	var req struct {
		Sure bool `json:"delete_messages_permanently"`
	}
	if err := api.Decode(r, &req); err != nil {
		return err
	}
	if !req.Sure {
		return refuse(http.StatusBadRequest, codeBody, "delete_messages_permanently must be true")
	}
	if err := q.Purge(); err != nil {
		return err
	}
	return a.write(w, q)
}

// purgeStatus tells of the last purge, which is over when it is answered.
func (a rest) purgeStatus(w http.ResponseWriter, r *http.Request) error {
	q, err := a.queue(r)
	if err != nil {
		return err
	}
	status := map[string]string{}
	if at := q.Info().Purged; !at.IsZero() {
		status["completed"], status["started_at"] = "true", at.Format(time.RFC3339Nano)
	}
	return api.Write(w, status)
}

func (a rest) consumers(w http.ResponseWriter, r *http.Request) error {
	q, err := a.queue(r)
	if err != nil {
		return err
	}
	return api.Write(w, a.reply(q, nil).Consumers)
}

// readConsumer reads a consumer as clients describe it.
func readConsumer(r *http.Request) (Consumer, error) {
	var req struct {
		Type            string           `json:"type"`
		Script          string           `json:"script_name"`
		DeadLetterQueue string           `json:"dead_letter_queue"`
		Settings        ConsumerSettings `json:"settings"`
	}
	if err := api.Decode(r, &req); err != nil {
		return Consumer{}, err
	}
	if req.Type == typePull {
		req.Script = ""
	}
	return Consumer{Type: req.Type, Script: req.Script, DeadLetterQueue: req.DeadLetterQueue, Settings: req.Settings}, nil
}

func (a rest) addConsumer(w http.ResponseWriter, r *http.Request) error { return a.store(w, r, "") }

func (a rest) setConsumer(w http.ResponseWriter, r *http.Request) error {
	return a.store(w, r, r.PathValue("consumer"))
}

func (a rest) store(w http.ResponseWriter, r *http.Request, id string) error {
	q, err := a.queue(r)
	if err != nil {
		return err
	}
	c, err := readConsumer(r)
	if err != nil {
		return err
	}
	c.ID = id
	if c, err = q.SetConsumer(c); err != nil {
		return err
	}
	return api.Write(w, q.consumerReply(c))
}

func (a rest) consumer(w http.ResponseWriter, r *http.Request) error {
	q, err := a.queue(r)
	if err != nil {
		return err
	}
	c := q.Info().Consumer
	if c == nil || c.ID != r.PathValue("consumer") {
		return ErrConsumerNotFound
	}
	return api.Write(w, q.consumerReply(*c))
}

func (a rest) removeConsumer(w http.ResponseWriter, r *http.Request) error {
	q, err := a.queue(r)
	if err != nil {
		return err
	}
	if err := q.RemoveConsumer(r.PathValue("consumer")); err != nil {
		return err
	}
	return api.Write(w, nil)
}

// messageRequest is a message as clients describe it.
type messageRequest struct {
	Body        json.RawMessage `json:"body"`
	ContentType ContentType     `json:"content_type"`
	Delay       *int64          `json:"delay_seconds"`
}
