package platform

import (
	"testing"

	"github.com/selvage-edge/selvage/binding"
)

// The S3 API has its hosts and those right below them, which are buckets.
func TestS3Hosts(t *testing.T) {
	h := s3Hosts{[]string{"s3.example.com"}, &binding.HostOwner{Name: "the S3 API of R2", Raw: true}}
	for host, want := range map[string]bool{
		"s3.example.com": true, "files.s3.example.com": true,
		"example.com": false, "a.files.s3.example.com": false, "xs3.example.com": false, "": false,
	} {
		if got := h.Hosted(host) != nil; got != want {
			t.Errorf("%q: %t", host, got)
		}
	}
}
