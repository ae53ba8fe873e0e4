package main

import "slices"

// row is one line of the table: a request that is sent over and over.
type row struct {
	name string
	// path, when it is not the name's; body, when it is a POST.
	path, body string
	// sides that have it; nil for all but nginx.
	sides []string
}

// rows are all there are, in the order of the table.
var rows = []row{
	{name: "hello"},
	// As `selvage dev` runs by default: each request is observed and printed.
	{name: "hello-observed", path: "/hello"},
	{name: "post", body: `{"name": "a name", "text": "a line of text that somebody has typed into a form", "list": [1, 2, 3]}`},
	{name: "compute"},
	{name: "assets", path: "/app.js", sides: []string{"selvage", "workerd", "wrangler", "nginx"}},
	{name: "kv-get"}, {name: "kv-put"},
	// Objects of 4 KiB. The configurations that workerd takes alone know no R2.
	{name: "r2-get", sides: []string{"selvage", "wrangler"}}, {name: "r2-put", sides: []string{"selvage", "wrangler"}},
	{name: "d1-read"}, {name: "d1-insert"},
	{name: "queue-send"}, {name: "queue-through"},
	// An instance of ten steps; 64 of them at once.
	{name: "workflow-steps"},
	// An object adds one to what it has stored: one object for all requests, and
	// each in turn of a hundred.
	{name: "do-one"}, {name: "do-hundred"},
	{name: "service-fetch"}, {name: "service-rpc"},
	// Twenty Workers with bindings of their own, every fourth of them with
	// Durable Objects, each asked for everything in turn.
	{name: "platform", sides: []string{"selvage", "workerd"}},
}

// platformWorkers is how many Workers the row platform has.
const platformWorkers = 20

// platformProject is the project that a Worker of the platform is a copy of,
// and platformPaths what it is asked for.
func platformProject(n int) string {
	if n%4 == 3 {
		return "objects"
	}
	return "worker"
}

var platformPaths = map[string][]string{
	"worker":  {"/hello", "/kv-get", "/kv-put", "/d1-read", "/d1-insert", "/queue-send"},
	"objects": {"/do-one", "/do-hundred"},
}

// on reports whether a side has the row.
func (r row) on(side string) bool {
	if r.sides == nil {
		return side != "nginx"
	}
	return slices.Contains(r.sides, side)
}

// request is what is sent to host.
func (r row) request(host string) []byte {
	path := r.path
	if path == "" {
		path = "/" + r.name
	}
	return request(host, path, r.body)
}

// find returns the rows of these names in the order of the table, and a name
// that no row has.
func find(names []string) (list []row, unknown string) {
	for _, r := range rows {
		if slices.Contains(names, r.name) {
			list = append(list, r)
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(rows, func(r row) bool { return r.name == name }) {
			return nil, name
		}
	}
	return list, ""
}
