package workflow

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
)

// A duration that is taken lies within bounds.
func FuzzDuration(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		for _, raw := range []json.RawMessage{json.RawMessage(text), encode(text)} {
			if ms, err := parseDuration(raw); err == nil && (ms < 0 || ms > maxMillis) {
				t.Errorf("%s: %d", raw, ms)
			}
		}
	})
}

// A config that is taken is valid, and is taken again as it is shown.
func FuzzPolicy(f *testing.F) {
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, ok := parsePolicy(raw, false)
		if !ok {
			return
		}
		again, ok := parsePolicy(encode(p), false)
		if !ok || again.timeout != p.timeout || again.delay != p.delay || again.Retries.Limit != p.Retries.Limit {
			t.Errorf("%s: %+v became %+v", raw, p, again)
		}
		for attempt := range 100 {
			if ms := p.pause(attempt + 1); ms < 0 || ms > maxMillis {
				t.Errorf("%s: attempt %d has a pause of %d ms", raw, attempt, ms)
			}
		}
	})
}

// Whatever a Worker has returned is shown as JSON, and nothing of it lasts for long.
func FuzzValue(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		if shown := Value(data).JSON(); !json.Valid(shown) {
			t.Errorf("%q is shown as %q", data, shown)
		}
	})
}

// What a Worker or a client wants to create is within the limits, or refused.
func FuzzCreate(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		check := func(list []Create) {
			for _, c := range list {
				if bytes.ContainsRune(c.Params, '\n') || c.SuccessRetention < 0 || c.ErrorRetention < 0 {
					t.Errorf("%+v", c)
				}
			}
		}
		if list, err := parseEntries(bytes.Split(data, []byte("\n"))); err == nil {
			if len(list) > MaxBatch {
				t.Errorf("%d instances", len(list))
			}
			check(list)
		}
		var r createRequest
		if json.Unmarshal(data, &r) == nil {
			if c, err := r.create(); err == nil {
				check([]Create{c})
			}
		}
		var p putRequest
		if json.Unmarshal(data, &p) == nil {
			if s, err := p.settings(); err == nil && (s.Retention.Success < 0 || s.Retention.Error < 0) {
				t.Errorf("%+v", s)
			}
		}
	})
}

// A filter that is taken can be served.
func FuzzFilter(f *testing.F) {
	f.Fuzz(func(t *testing.T, query string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.URL.RawQuery = query
		filter, _, err := parseFilter(r)
		if err == nil && (filter.Limit < 1 || filter.Limit > 100 || filter.Skip < 0 || filter.Status != "" && filter.Status.code() < 0) {
			t.Errorf("%s: %+v", query, filter)
		}
	})
}

// Durations as they are documented, and as they are not.
func TestDurations(t *testing.T) {
	for text, want := range map[string]int64{
		`0`: 0, `1500`: 1500, `1.6`: 2, `"1 second"`: 1000, `"5 minutes"`: 300_000, `"2.5 hours"`: 9_000_000, `"1 day"`: 86_400_000,
		`"2 weeks"`: 2 * 7 * 86_400_000, `"1 month"`: 30 * 86_400_000, `" 1 year "`: 365 * 86_400_000, `"3 milliseconds"`: 3,
		`"10seconds"`: 10_000, `-1`: -1, `null`: -1, ``: -1, `"soon"`: -1, `"5 parsecs"`: -1, `"-1 second"`: -1, `"1e3 seconds"`: -1, `{}`: -1, `1e300`: -1,
		`"` + strings.Repeat("9", 400) + ` years"`: -1,
	} {
		ms, err := parseDuration(json.RawMessage(text))
		if err != nil {
			ms = -1
		}
		if ms != want {
			t.Errorf("%s: %d %v, want %d", text, ms, err, want)
		}
	}
}

// A value as clone.js writes it is shown as JSON.stringify would.
func TestValueJSON(t *testing.T) {
	for value, want := range map[string]string{
		``:            `null`,
		`{"a":[1,2]}`: `{"a":[1,2]}`,
		`~[["u"]]`:    `null`,
		`~[["o","d",1,"m",2,"u",3,"b",4,"n",5,"l",6],["d",5],["m",7,7],["u"],["b","12345678901234567890"],["n","NaN"],["a",3,7,-1],["j",1]]`: `{"b":"12345678901234567890","d":"1970-01-01T00:00:00.005Z","l":[null,1,null],"m":{},"n":null}`,
		`~[["o","v",1],["v","Uint8Array",2,1,2],["x","AQID"]]`:                                                                               `{"v":{"0":2,"1":3}}`,
		`~[["a",1,1],["o","self",0]]`: "",
		`~[["o","x",9]]`:              `{}`,
		`~{`:                          `null`,
	} {
		got := string(Value(value).JSON())
		if want == "" && json.Valid([]byte(got)) {
			continue // it refers to itself
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", value, got, want)
		}
	}
}
