package control

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/control/state"
)

func TestMigrations(t *testing.T) {
	have := []state.Class{{Name: "A", SQLite: true, Key: "k1"}, {Name: "B", Key: "k2"}}
	for _, c := range []struct{ migrations, want string }{
		{`{"old_tag":"v1","new_tag":"v2","steps":[{"new_sqlite_classes":["C"]},{"new_classes":["D"]}]}`, "[{A true k1} {B false k2} {C true new1} {D false new2}]"},
		{`{"old_tag":"v1","new_tag":"v2","steps":[{"renamed_classes":[{"from":"A","to":"Z"}]}]}`, "[{Z true k1} {B false k2}]"},
		{`{"old_tag":"v1","new_tag":"v2","steps":[{"deleted_classes":["A"]}]}`, "[{B false k2}]"},
		{`{"old_tag":"v1","new_tag":"v2","steps":[{"deleted_classes":["A"]},{"new_sqlite_classes":["A"]}]}`, "[{B false k2} {A true new1}]"}, // new storage
		{`{"old_tag":"v1","new_tag":"v2","new_classes":["C"]}`, "[{A true k1} {B false k2} {C false new1}]"},                                 // a single step
		{`{"old_tag":"v0","new_tag":"v2","steps":[]}`, "[code: 10079]"},
		{`{"old_tag":"v1","new_tag":"v2","steps":[{"new_classes":["A"]}]}`, "[code: 10074]"},
		{`{"old_tag":"v1","new_tag":"v2","steps":[{"renamed_classes":[{"from":"X","to":"Y"}]}]}`, "[code: 10071]"},
		{`{"old_tag":"v1","new_tag":"v2","steps":[{"renamed_classes":[{"from":"A","to":"B"}]}]}`, "[code: 10074]"},
		{`{"old_tag":"v1","new_tag":"v2","steps":[{"deleted_classes":["X"]}]}`, "[code: 10071]"},
		{`{"old_tag":"v1","new_tag":"v2","steps":[{"transferred_classes":[{"from":"X","from_script":"s","to":"Y"}]}]}`, "[{A true k1} {B false k2} {Y true k9}]"},
		{`{"old_tag":"v1","new_tag":"v2","transferred_classes":[{"from":"X","from_script":"s","to":"X"}],"renamed_classes":[{"from":"X","to":"Z"}]}`, "[{A true k1} {B false k2} {Z true k9}]"},
		{`{"old_tag":"v1","new_tag":"v2","steps":[{"transferred_classes":[{"from":"X","from_script":"s","to":"A"}]}]}`, "[code: 10074]"},
		{`{"old_tag":"v1","new_tag":"v2","steps":[{"transferred_classes":[{"from":"W","from_script":"s","to":"Y"}]}]}`, "[code: 10071]"},
		{`{"old_tag":"v1","new_tag":"v2","steps":[{"transferred_classes":[{"from":"X","from_script":"s","to":"Y"},{"from":"X","from_script":"s","to":"Z"}]}]}`, "[code: 10071]"},
		{`{"old_tag":"v1","new_tag":"v2","steps":[{"transferred_classes":[{"from":"X","from_script":"none","to":"Y"}]}]}`, "[code: 10061]"},
	} {
		var m migrations
		if err := json.Unmarshal([]byte(c.migrations), &m); err != nil {
			t.Fatal(err)
		}
		n := 0
		s := &state.Worker{Name: "s", Classes: []state.Class{{Name: "X", SQLite: true, Key: "k9"}}}
		got, _, err := m.apply(have, "v1", func() string { n++; return fmt.Sprint("new", n) }, func(script string) (*state.Worker, error) {
			if script != "s" {
				return nil, badRequest(10061, "no such script")
			}
			return s, nil
		})
		text := fmt.Sprint(got)
		if err != nil {
			text = err.Error()
		}
		if !strings.HasSuffix(text, c.want) {
			t.Errorf("%s\ngot  %s\nwant %s", c.migrations, text, c.want)
		}
	}
	if have[0].Name != "A" || len(have) != 2 {
		t.Error("apply changed the classes it was given")
	}
}
