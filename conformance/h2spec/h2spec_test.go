// Package h2spec runs h2spec against `selvage serve`, over TLS and without. It
// is a module of its own, so that what h2spec needs is nobody else's.
package h2spec

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/summerwind/h2spec/config"
	"github.com/summerwind/h2spec/generic"
	"github.com/summerwind/h2spec/hpack"
	"github.com/summerwind/h2spec/http2"
	"github.com/summerwind/h2spec/spec"
)

// fails are the cases that fail, with the reason.
var fails = map[string]string{
	"h2c http2/3.5/2": "without TLS an invalid preface is a request of HTTP/1 to us, and is answered as such",
}

// cases is how many h2spec 2.2.1 has, without its strict ones.
const cases = 145

func TestH2spec(t *testing.T) {
	plain, secure := serve(t)
	for over, address := range map[string]string{"h2c": plain, "TLS": secure} {
		t.Run(over, func(t *testing.T) {
			_, text, err := net.SplitHostPort(address)
			if err != nil {
				t.Fatal(err)
			}
			port, err := strconv.Atoi(text)
			if err != nil {
				t.Fatal(err)
			}
			results := run(&config.Config{Host: "localhost", Port: port, Path: "/", Timeout: 5 * time.Second, MaxHeaderLen: 4000, TLS: over == "TLS", Insecure: true})
			passed := 0
			for id, failure := range results {
				reason, expected := fails[over+" "+id]
				switch {
				case failure == "" && expected:
					t.Errorf("%s passes: it is not to be in fails any more", id)
				case failure != "" && !expected:
					t.Errorf("%s: %s", id, failure)
				case failure != "":
					t.Logf("%s fails: %s", id, reason)
				default:
					passed++
				}
			}
			t.Logf("%d of %d cases pass", passed, len(results))
			if len(results) != cases {
				t.Errorf("%d cases ran, not %d", len(results), cases)
			}
		})
	}
}

// run returns what is wrong with each case; "" is nothing.
func run(c *config.Config) map[string]string {
	stdout := os.Stdout
	defer func() { os.Stdout = stdout }()
	os.Stdout, _ = os.OpenFile(os.DevNull, os.O_WRONLY, 0) // h2spec's own report
	results := map[string]string{}
	var collect func(g *spec.TestGroup)
	collect = func(g *spec.TestGroup) {
		for i, tc := range g.Tests {
			if tc.Result != nil && !tc.Result.Skipped {
				failure := ""
				if tc.Result.Failed {
					failure = fmt.Sprintf("%s: %v", tc.Desc, tc.Result.Error)
				}
				results[fmt.Sprintf("%s/%d", g.ID(), i+1)] = failure
			}
		}
		for _, sub := range g.Groups {
			collect(sub)
		}
	}
	for _, g := range []*spec.TestGroup{generic.Spec(), http2.Spec(), hpack.Spec()} {
		g.Test(c)
		collect(g)
	}
	return results
}
