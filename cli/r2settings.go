package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
)

// What wrangler sets on a server, for a project that runs under selvage dev: its
// buckets are reached by no wrangler.

type r2CORSCommand struct {
	Set    r2CORSSetCommand    `cmd:"" help:"Replace the CORS rules of a bucket."`
	List   r2CORSListCommand   `cmd:"" help:"Print the CORS rules of a bucket, as JSON."`
	Delete r2CORSDeleteCommand `cmd:"" help:"Delete the CORS rules of a bucket."`
}

// bucketTarget is how these commands name a bucket.
type bucketTarget struct {
	serverData
	Bucket string `arg:"" help:"Name of the bucket."`
}

type r2CORSSetCommand struct {
	bucketTarget
	File string `required:"" help:"The rules, as for wrangler r2 bucket cors set: {\"rules\": […]}. - is stdin." placeholder:"FILE"`
}

func (c *r2CORSSetCommand) Run(ctx context.Context, streams IO) error {
	rules, err := readFileOrStdin(c.File, streams.Stdin)
	if err != nil {
		return err
	}
	return c.call(ctx, http.MethodPut, "cors", json.RawMessage(rules), nil)
}

type r2CORSListCommand struct{ bucketTarget }

func (c *r2CORSListCommand) Run(ctx context.Context, streams IO) error {
	var rules json.RawMessage
	if err := c.call(ctx, http.MethodGet, "cors", nil, &rules); err != nil {
		return err
	}
	return printJSON(streams.Stdout, rules)
}

type r2CORSDeleteCommand struct{ bucketTarget }

func (c *r2CORSDeleteCommand) Run(ctx context.Context, _ IO) error {
	return c.call(ctx, http.MethodDelete, "cors", nil, nil)
}

// call is one call about the bucket's part of that name.
func (t *bucketTarget) call(ctx context.Context, method, part string, body, result any) (err error) {
	client, err := t.connect(ctx)
	if err != nil {
		return err
	}
	defer client.close()
	return client.call(ctx, method, client.path("r2", "buckets", t.Bucket, part), body, result)
}

type r2NotificationCommand struct {
	Create r2NotificationCreateCommand `cmd:"" help:"Tell a queue of what happens to the objects of a bucket."`
	List   r2NotificationListCommand   `cmd:"" help:"List the rules of a bucket."`
	Delete r2NotificationDeleteCommand `cmd:"" help:"Delete the rules of a bucket for a queue."`
}

// eventTypes are the actions of wrangler's event types.
var eventTypes = map[string][]string{
	"object-create": {"PutObject", "CompleteMultipartUpload", "CopyObject"},
	"object-delete": {"DeleteObject", "LifecycleDeletion"},
}

type r2NotificationCreateCommand struct {
	bucketTarget
	Queue  string   `required:"" help:"Name of the queue." placeholder:"NAME"`
	Types  []string `name:"event-type" required:"" enum:"object-create,object-delete" help:"What the queue is told of: object-create, object-delete, or both." placeholder:"TYPE"`
	Prefix string   `help:"How the keys begin." placeholder:"TEXT"`
	Suffix string   `help:"How the keys end." placeholder:"TEXT"`
}

func (c *r2NotificationCreateCommand) Run(ctx context.Context, _ IO) error {
	rule := map[string]any{"prefix": c.Prefix, "suffix": c.Suffix}
	var actions []string
	for _, t := range c.Types {
		actions = append(actions, eventTypes[t]...)
	}
	rule["actions"] = actions
	return c.notify(ctx, http.MethodPut, c.Queue, map[string]any{"rules": []any{rule}})
}

// notify is one call about the rules of the bucket for a queue.
func (t *bucketTarget) notify(ctx context.Context, method, queue string, body any) error {
	client, err := t.connect(ctx)
	if err != nil {
		return err
	}
	defer client.close()
	var queues []struct {
		ID   string `json:"queue_id"`
		Name string `json:"queue_name"`
	}
	if err := client.call(ctx, http.MethodGet, client.path("queues")+"?name="+url.QueryEscape(queue), nil, &queues); err != nil {
		return err
	}
	for _, q := range queues {
		if q.Name == queue {
			return client.call(ctx, method, client.path("event_notifications", "r2", t.Bucket, "configuration", "queues", q.ID), body, nil)
		}
	}
	return fmt.Errorf("there is no queue named %s in this data directory", queue)
}

type r2NotificationListCommand struct{ bucketTarget }

func (c *r2NotificationListCommand) Run(ctx context.Context, streams IO) error {
	client, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer client.close()
	var found struct {
		Queues []struct {
			Name  string `json:"queueName"`
			Rules []struct {
				Prefix, Suffix string
				Actions        []string
			} `json:"rules"`
		} `json:"queues"`
	}
	if err := client.call(ctx, http.MethodGet, client.path("event_notifications", "r2", c.Bucket, "configuration"), nil, &found); err != nil {
		return err
	}
	table := tabwriter.NewWriter(streams.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "QUEUE\tPREFIX\tSUFFIX\tACTIONS")
	for _, q := range found.Queues {
		for _, r := range q.Rules {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", q.Name, r.Prefix, r.Suffix, strings.Join(r.Actions, ","))
		}
	}
	return table.Flush()
}

type r2NotificationDeleteCommand struct {
	bucketTarget
	Queue string `required:"" help:"Name of the queue." placeholder:"NAME"`
}

func (c *r2NotificationDeleteCommand) Run(ctx context.Context, _ IO) error {
	return c.notify(ctx, http.MethodDelete, c.Queue, nil)
}
