package workflow

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// call asks the REST API and returns what it answers, or the text of its error.
func (b *bench) call(method, path, body string) string {
	b.Helper()
	mux, answer := http.NewServeMux(), httptest.NewRecorder()
	for _, route := range b.k.Routes() {
		mux.HandleFunc(route.Method+" "+route.Path, func(w http.ResponseWriter, r *http.Request) {
			if err := route.Handle(w, r); err != nil {
				answer.WriteString(err.Error())
			}
		})
	}
	mux.ServeHTTP(answer, httptest.NewRequestWithContext(b.Context(), method, "/accounts/a/workflows/flow"+path, strings.NewReader(body)))
	return answer.Body.String()
}

// wants compares an answer of the REST API.
func (b *bench) wants(method, path, body, want string) {
	b.Helper()
	if got := b.call(method, path, body); !strings.Contains(got, want) {
		b.Errorf("%s %s %s: %s, want %s", method, path, body, got, want)
	}
}

// What a step has come to, and the events of an instance, are told over the REST API.
func TestStepsAndEventsOverREST(t *testing.T) {
	var b *bench
	inBubble(t, func(ctx context.Context, e Event, s *Steps) (any, error) {
		if _, err := s.Do(ctx, "done", StepOptions{}, func(context.Context) (any, error) { return []int{1}, nil }); err != nil {
			return nil, err
		}
		if _, err := s.Do(ctx, "retried", StepOptions{Retries: 1, Delay: time.Hour}, func(context.Context) (any, error) {
			return nil, errors.New("not yet")
		}); err == nil {
			return nil, errors.New("no failure")
		}
		r, err := s.WaitForEvent(ctx, "waits", "go", 24*time.Hour)
		return r.Payload.JSON(), err
	}, func(made *bench) {
		b = made
		b.create("x", "params")
		b.after(time.Minute)
		const step, events = "/instances/x/step", "/instances/x/subscribe"
		b.wants("GET", step+"?name=done-1&type=step", "", `"status":"complete","error":null,"output":[1]`)
		b.wants("GET", step+"?name=retried-1&type=step", "", `"status":"running","error":{"name":"Error","message":"not yet"},"output":null`)
		b.wants("GET", step+"?name=done&type=step", "", `the instance has no step "done"`)
		b.wants("GET", step+"?name=done-1&type=sleep", "", `there is no type "sleep"`)
		b.wants("GET", "/instances/nobody/step?name=done-1&type=step", "", "instance.not_found")
		b.after(2 * time.Hour)
		b.wants("GET", step+"?name=retried-1&type=step", "", `"status":"errored","error":{"name":"Error","message":"not yet"}`)
		b.wants("GET", step+"?name=waits-1&type=waitForEvent", "", `"status":"waiting"`)
		b.wants("GET", events+"?cursor=-1", "", "Invalid Workflow subscription options")
		b.wants("GET", events+"?filter=nothing", "", "Invalid Workflow subscription options")
		b.wants("GET", "/instances/nobody/subscribe", "", "instance.not_found")
		told := make(chan string)
		go func() {
			told <- b.call("GET", events+"?filter=workflow_started,step_completed&filter=workflow_completed", "")
		}()
		b.after(time.Minute)
		b.wants("POST", "/instances/x/events/go", `{"n":1}`, `"success":true`)
		got := <-told
		for _, want := range []string{
			"id: 2\nevent: workflow_started\ndata: {\"instanceId\":\"x\",\"eventId\":2,", `"type":"workflow_started","params":"params"}`,
			`"type":"step_completed","stepName":"done-1","output":[1]}`, `"type":"workflow_completed","output":{"n":1}}` + "\n\n",
		} {
			if !strings.Contains(got, want) {
				t.Errorf("%s\nlacks %s", got, want)
			}
		}
		if n := strings.Count(got, "event: "); n != 3 {
			t.Errorf("%d events:\n%s", n, got)
		}
		b.wants("GET", "/instances/x?order=desc", "", `"steps":[{"type":"waitForEvent"`)
		b.wants("GET", "/instances", "", `"trigger_source":""`)
		b.wants("PATCH", "/instances/x/status", `{"status":"pause","rollback":true}`, "rollback belongs to the status terminate")
		b.wants("PUT", "", `{"script_name":"w","class_name":"Flow","concurrency":{"limit":0}}`, "concurrency.limit is 0")
		b.wants("PUT", "", `{"script_name":"w","class_name":"Flow","schedules":[{"cron":"never"}]}`, "invalid cron string 'never'")
		b.wants("PUT", "", `{"script_name":"w","class_name":"Flow","schedules":[{"cron":"0 0 1 1 *"}],"concurrency":{"limit":7}}`, `"concurrency":{"limit":7},"schedules":[{"cron":"0 0 1 1 *"}]`)
		b.wants("PUT", "", `{"script_name":"w","class_name":"Flow","jurisdiction":"eu"}`, "jurisdiction of Workflow flow cannot be changed")
	})
}
