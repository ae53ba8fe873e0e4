package config

import (
	"net/url"
	"time"
)

// Upstream is a server that keeps a resource of a product instead of this node.
type Upstream struct {
	// Name is the resource's name here, and Resource its name there.
	Name, Resource string
	// Endpoint has scheme and host of the server.
	Endpoint *url.URL
	// Region is the one that signatures name.
	Region string
	// PathStyle puts the resource's name into the path instead of the host.
	PathStyle bool
	// KeyID and Secret are what we sign with.
	KeyID, Secret string
	// Timeout is how long the server may be silent.
	Timeout time.Duration
}
