package api

import (
	"net/http/httptest"
	"strings"
	"testing"
)

// What is wrong with a body is said in words of JSON.
func TestDecode(t *testing.T) {
	type inner struct {
		Count int
		Ratio float64
	}
	for body, want := range map[string]string{
		`{"name":"a"}`:                "",
		`{"name":1}`:                  "name must be a string, not number",
		`{"limits":{"Count":"1"}}`:    "limits.Count must be a whole number, not string",
		`{"limits":{"Count":1.5}}`:    "limits.Count must be a whole number, not number 1.5",
		`{"limits":{"Ratio":true}}`:   "limits.Ratio must be a number, not bool",
		`{"limits":[]}`:               "limits must be an object, not array",
		`{"enabled":"yes"}`:           "enabled must be true or false, not string",
		`{"tags":{}}`:                 "tags must be an array, not object",
		`[]`:                          "the value must be an object, not array",
		`{`:                           "unexpected end of JSON input",
		``:                            "unexpected end of JSON input",
		`{"name":"a"} {"name":"b"}`:   "invalid character",
		`{"name":"a","unknown":null}`: "",
	} {
		var v struct {
			Name    string   `json:"name"`
			Limits  *inner   `json:"limits"`
			Enabled bool     `json:"enabled"`
			Tags    []string `json:"tags"`
		}
		err := Decode(httptest.NewRequest("POST", "/", strings.NewReader(body)), &v)
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", body, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "Go ")):
			t.Errorf("%s: %v, want %q", body, err, want)
		}
	}
}
