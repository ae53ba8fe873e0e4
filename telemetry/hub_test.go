package telemetry

import "testing"

func TestHub(t *testing.T) {
	var h Hub
	var got []string
	note := func(who string) func(Invocation) { return func(i Invocation) { got = append(got, who+" "+i.Outcome) } }
	h.Publish(Invocation{ScriptName: "api", Outcome: "nobody"})
	stopA := h.Subscribe("api", note("a"))
	stopB := h.Subscribe("web", note("b"))
	h.Publish(Invocation{ScriptName: "api", Outcome: "ok"})
	h.Publish(Invocation{ScriptName: "web", Outcome: "exception"})
	stopA()
	stopA()
	h.Publish(Invocation{ScriptName: "api", Outcome: "late"})
	stopB()
	if len(got) != 2 || got[0] != "a ok" || got[1] != "b exception" || len(h.subs) != 0 {
		t.Errorf("got %q, left %v", got, h.subs)
	}
}
