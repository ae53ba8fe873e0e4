package main

import (
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/conformance/verdict"
)

func TestParseReport(t *testing.T) {
	got, err := parseReport([]byte(`<?xml version="1.0"?><testsuites><testsuite name="pytest">
		<testcase classname="s3tests.functional.test_s3" name="test_a" time="1"/>
		<testcase classname="s3tests.functional.test_s3" name="test_b[x]"><failure message="assert 1 == 2&#10;where">trace</failure></testcase>
		<testcase classname="s3tests.functional.test_headers" name="test_c"><error message="setup">trace</error></testcase>
		<testcase classname="s3tests.functional.test_headers" name="test_d"><skipped message="not configured">here</skipped></testcase>
	</testsuite></testsuites>`))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]verdict.Outcome{"test_s3 test_a": "", "test_s3 test_b[x]": "assert 1 == 2\nwhere", "test_headers test_c": "setup", "test_headers test_d": "not configured"} {
		if o, ok := got[name]; !ok || o != want {
			t.Errorf("%s: %q, want %q", name, o, want)
		}
	}
	if len(got) != 4 {
		t.Errorf("%d outcomes: %v", len(got), got)
	}
	for _, bad := range []string{"", "<testsuites/>", "<testsuites>"} {
		if got, err := parseReport([]byte(bad)); err == nil {
			t.Errorf("%q was read as %v", bad, got)
		}
	}
}

func TestCompare(t *testing.T) {
	known := verdict.Parse("# comment\n\ntest_s3 a\ntest_s3 b: R2 has no b\n")
	for _, c := range []struct {
		name    string
		results map[string]verdict.Outcome
		all     bool
		want    string // of the error; empty: as expected
	}{
		{"as expected", map[string]verdict.Outcome{"test_s3 a": "", "test_s3 b": "no"}, true, ""},
		{"a fails", map[string]verdict.Outcome{"test_s3 a": "no", "test_s3 b": "no"}, true, "test_s3 a: no; expected: passed"},
		{"b passes", map[string]verdict.Outcome{"test_s3 a": "", "test_s3 b": ""}, true, "test_s3 b: passed; expected: R2 has no b"},
		{"a new one", map[string]verdict.Outcome{"test_s3 a": "", "test_s3 b": "no", "test_s3 c": ""}, true, "test_s3 c: passed; its outcome is not expected"},
		{"one is gone", map[string]verdict.Outcome{"test_s3 a": ""}, true, "test_s3 b: there is no such test"},
		{"only one was asked for", map[string]verdict.Outcome{"test_s3 a": ""}, false, ""},
	} {
		var out strings.Builder
		err := compare(c.results, known, c.all, false, &out)
		if got := ""; err != nil {
			got = err.Error()
			if got != c.want {
				t.Errorf("%s: %q, want %q", c.name, got, c.want)
			}
		} else if c.want != "" {
			t.Errorf("%s: no error, want %q", c.name, c.want)
		}
	}
}

// The list has a reason for each test that does not pass, in whole words.
func TestExpectedList(t *testing.T) {
	passing := 0
	for name, reason := range verdict.Parse(expected) {
		if reason == "" {
			passing++
		} else if len(strings.Fields(reason)) < 3 {
			t.Errorf("%s: the reason is %q", name, reason)
		}
	}
	if passing < 200 {
		t.Errorf("%d tests pass: is the list whole?", passing)
	}
}
