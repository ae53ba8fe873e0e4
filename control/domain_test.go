package control

import (
	"errors"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/binding"
)

// A host that belongs to something else is no Worker's custom domain.
func TestDomainOfAnother(t *testing.T) {
	b := newBenchAt(t, func(o *Options) {
		o.HostOwner = func(host string) string {
			if host == "files.example.com" {
				return "the R2 bucket files"
			}
			return ""
		}
	})
	b.upload(`{"main_module":"index.js"}`, "export default {}")
	b.do("POST", "/zones", "application/json", `{"name":"example.com"}`)
	put := func(host string) (int, string) {
		status, _, body := b.do("PUT", "{W}/domains/records", "application/json", `{"origins":[{"hostname":"`+host+`"}]}`)
		return status, body
	}
	if status, body := put("Files.example.com"); status != 409 || !strings.Contains(body, "the hostname files.example.com already belongs to the R2 bucket files") {
		t.Errorf("%d %s", status, body)
	}
	if status, body := put("www.example.com"); status != 200 {
		t.Errorf("%d %s", status, body)
	}
}

// A host that a product takes is in a zone, and nobody's.
func TestTakeHost(t *testing.T) {
	b := newBench(t)
	b.upload(`{"main_module":"index.js"}`, "export default {}")
	b.do("POST", "/zones", "application/json", `{"name":"example.com"}`)
	b.do("PUT", "{W}/domains/records", "application/json", `{"origins":[{"hostname":"www.example.com"}]}`)
	owner := func(host string) string {
		if host == "s3.example.com" {
			return "the S3 API"
		}
		return ""
	}
	failed := errors.New("the disk is full")
	for _, c := range []struct {
		host, zone, want string
		err              error
	}{
		{"files.example.com", "", "", nil},
		{"example.com", "", "", nil},
		{"files.example.com", "", failed.Error(), failed},
		{"files.example.org", "", "there is no zone for files.example.org", nil},
		{"files.example.com", "0123", "there is no zone with the id 0123", nil},
		{"fi les.example.com", "", "not a valid hostname", nil},
		{"", "", "not a valid hostname", nil},
		{"www.example.com", "", `already a custom domain of the Worker "api"`, nil},
		{"s3.example.com", "", "already belongs to the S3 API", nil},
	} {
		var got binding.Zone
		err := TakeHost(t.Context(), b.state, owner, c.host, c.zone, func(z binding.Zone) error { got = z; return c.err })
		if c.want == "" && (err != nil || got.Name != "example.com" || len(got.ID) != 32) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s in %q: %+v, %v; want %q", c.host, c.zone, got, err, c.want)
		}
	}
}
