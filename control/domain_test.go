package control

import (
	"strings"
	"testing"
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
