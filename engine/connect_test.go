package engine

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/selvage-edge/selvage/config"
)

// TestConnect: the sockets that a Worker opens reach the egress of its own
// version, told apart although CONNECT carries no capability.
func TestConnect(t *testing.T) {
	b := newBench(t, func(o *Options) {
		o.Egress = func(v *config.Version) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodConnect {
					fmt.Fprintf(w, "fetch of %s", v.Worker)
					return
				}
				conn, buf, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\n\r\n")
				line, _ := buf.ReadString('\n')
				fmt.Fprintf(conn, "%s to %s said %s", v.Worker, r.Host, line)
			})
		}
	})
	for _, name := range []string{"one", "two"} {
		b.deploy(b.version(name, `import { connect } from "cloudflare:sockets";
export default { async fetch() {
  const socket = connect("db.example:5432");
  const writer = socket.writable.getWriter();
  await writer.write(new TextEncoder().encode("hello\n"));
  const answer = await new Response(socket.readable).text();
  return Response.json([answer, await (await fetch("http://x/")).text()]);
} }`))
		b.want("/"+name+"/", fmt.Sprintf(`["%s to db.example:5432 said hello\n","fetch of %s"]`, name, name))
	}
}
