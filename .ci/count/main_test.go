package main

import (
	"fmt"
	"strings"
	"testing"
)

func TestCount(t *testing.T) {
	var in strings.Builder
	event := func(action, pkg, test string, seconds float64, output string) {
		fmt.Fprintf(&in, `{"Action":%q,"Package":%q,"Test":%q,"Elapsed":%g,"Output":%q}`+"\n", action, pkg, test, seconds, output)
	}
	event("run", "a", "TestOne", 0, "")
	event("output", "a", "TestOne", 0, "not shown\n")
	event("pass", "a", "TestOne/sub", 9, "")
	event("pass", "a", "TestOne", 2, "")
	event("output", "a", "TestTwo", 0, "no network\n")
	event("skip", "a", "TestTwo", 0, "")
	event("pass", "a", "", 3, "")
	event("output", "b", "TestBad", 0, "got 1, want 2\n")
	event("fail", "b", "TestBad", 1, "")
	event("fail", "b", "", 1, "")
	event("fail", "broken", "", 0, "")
	event("pass", "a", "TestOne", 5, "") // with -race
	event("pass", "a", "", 6, "")

	var out strings.Builder
	failed, err := count(strings.NewReader(in.String()), &out, []string{"NOT CHECKED: x"})
	if failed != 2 || err != nil {
		t.Errorf("%d failed, %v; want the test and the broken package", failed, err)
	}
	want := `skip  a TestTwo
no network
ok    a 3.0s
got 1, want 2

FAIL  b
FAIL  broken
ok    a 6.0s

slowest tests
    5.0s a TestOne
    1.0s b TestBad
    0.0s a TestTwo

slowest packages
    6.0s a
    1.0s b
    0.0s broken

NOT CHECKED: x
3 passed, 2 failed, 1 skipped
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestCountRefusesWhatIsNoEvent(t *testing.T) {
	if _, err := count(strings.NewReader("panic: x"), &strings.Builder{}, nil); err == nil {
		t.Error("output that is not JSON was taken")
	}
}
