package r2

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/selvage-edge/selvage/api"
)

// notifyRoutes are the operations on event notifications.
//
// Source: https://developers.cloudflare.com/api/resources/r2/subresources/buckets/subresources/event_notifications/
func (a rest) notifyRoutes(group api.Group) []api.Route {
	const all = "/accounts/{account}/event_notifications/r2/{bucket}/configuration"
	const queue = all + "/queues/{queue}"
	return []api.Route{
		group.Read("GET", all, a.notifications),
		group.Read("GET", queue, a.notificationsOf),
		group.Edit("PUT", queue, a.addNotifications),
		group.Edit("DELETE", queue, a.deleteNotifications),
	}
}

// queueRules are the rules of a bucket for one queue.
type queueRules struct {
	ID    string      `json:"queueId"`
	Name  string      `json:"queueName"`
	Rules []ruleReply `json:"rules"`
}

type ruleReply struct {
	ID          string   `json:"ruleId"`
	Actions     []string `json:"actions"`
	Prefix      string   `json:"prefix,omitempty"`
	Suffix      string   `json:"suffix,omitempty"`
	Description string   `json:"description,omitempty"`
	Created     string   `json:"createdAt"`
}

// byQueue groups the rules of a bucket. A queue that has been deleted has no name.
func (a rest) byQueue(r *http.Request) ([]*queueRules, error) {
	rules, err := a.s.NotifyRules(r.Context(), r.PathValue("bucket"))
	if err != nil {
		return nil, err
	}
	list, of := []*queueRules{}, map[string]*queueRules{}
	for _, rule := range rules {
		q := of[rule.Queue]
		if q == nil {
			name, err := a.s.queueName(rule.Queue)
			if err != nil && !errors.Is(err, ErrNoSuchQueue) {
				return nil, err
			}
			q = &queueRules{ID: rule.Queue, Name: name}
			of[rule.Queue], list = q, append(list, q)
		}
		q.Rules = append(q.Rules, ruleReply{rule.ID, rule.Actions, rule.Prefix, rule.Suffix, rule.Description, rule.Created.Format("2006-01-02T15:04:05.000Z")})
	}
	return list, nil
}

func (a rest) notifications(w http.ResponseWriter, r *http.Request) error {
	list, err := a.byQueue(r)
	if err != nil {
		return err
	}
	return api.Write(w, map[string]any{"bucketName": r.PathValue("bucket"), "queues": list})
}

func (a rest) notificationsOf(w http.ResponseWriter, r *http.Request) error {
	list, err := a.byQueue(r)
	if err != nil {
		return err
	}
	for _, q := range list {
		if q.ID == r.PathValue("queue") {
			return api.Write(w, q)
		}
	}
	return ErrNoRule
}

// addNotifications adds rules to those that are there, as on Cloudflare.
func (a rest) addNotifications(w http.ResponseWriter, r *http.Request) error {
	var req struct {
		Rules []struct {
			Prefix, Suffix, Description string
			Actions                     []string
		} `json:"rules"`
	}
	if err := api.Decode(r, &req); err != nil {
		return err
	}
	rules := make([]NotifyRule, len(req.Rules))
	for i, q := range req.Rules {
		rules[i] = NotifyRule{Queue: r.PathValue("queue"), Prefix: q.Prefix, Suffix: q.Suffix, Actions: q.Actions, Description: q.Description}
	}
	if err := a.s.AddNotifyRules(r.Context(), r.PathValue("bucket"), rules); err != nil {
		return err
	}
	return api.Write(w, struct{}{})
}

// deleteNotifications deletes the rules that the body names, or without one all.
func (a rest) deleteNotifications(w http.ResponseWriter, r *http.Request) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		return api.Errorf(http.StatusBadRequest, 10001, "read request body: %v", err)
	}
	var req struct {
		IDs []string `json:"ruleIds"`
	}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &req); err != nil {
			return api.Errorf(http.StatusBadRequest, 10001, "request body is not valid: %v", api.Explain(err))
		}
	}
	if err := a.s.DeleteNotifyRules(r.Context(), r.PathValue("bucket"), r.PathValue("queue"), req.IDs...); err != nil {
		return err
	}
	return api.Write(w, struct{}{})
}
