// Command go-service is a platform in one binary: a gateway in TypeScript that
// checks JSON Web Tokens, and behind it an API in Go with D1, KV and a cron
// trigger.
//
//	go run ./examples/go-service
package main

import (
	"cmp"
	"embed"
	"os"

	"github.com/selvage-edge/selvage"
)

//go:embed gateway
var projects embed.FS

// devSecret signs tokens unless JWT_SECRET says otherwise.
const devSecret = "development-only-secret-do-not-deploy"

func main() { selvage.Main(workers()...) }

// workers are the gateway, which answers every host, and the API.
func workers() []selvage.Option {
	return []selvage.Option{
		selvage.Project(projects, "gateway", selvage.WithSecret("JWT_SECRET", cmp.Or(os.Getenv("JWT_SECRET"), devSecret))),
		selvage.Worker("api", newAPI, selvage.WithPrivate(), selvage.WithCron("* * * * *")),
	}
}
