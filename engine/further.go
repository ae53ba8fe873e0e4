package engine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/engine/workerd"
)

// A busy version with Durable Objects has further cells, too. Its objects stay in
// the first one, its home, which alone holds the lock of their folder. In the
// others the exports that are classes of objects are replaced by ones that pass on
// what they are asked (remote.js), so that bindings and ctx.exports lead to the
// home. They end before it does, and after it when it has crashed.

// rpcDate is the compatibility date from which a Worker can use RPC, which its
// further cells need.
const rpcDate = "2024-04-03"

// spreads: a version with Durable Objects can have further cells.
func spreads(v *config.Version) bool {
	return !v.ServiceWorker && (v.CompatibilityDate >= rpcDate || slices.Contains(v.CompatibilityFlags, "rpc"))
}

// home: the objects of the Worker are open in this cell.
func (c *cell) home() bool { return c.pool.durable() && !c.further }

// home is the cell that is not further, and of a version without objects the
// oldest; nil if there is none.
func home(cells []*cell) *cell {
	for _, c := range cells {
		if !c.further {
			return c
		}
	}
	return nil
}

// called: other Workers call on one of the sockets.
func called(peers map[peerKey]peerSocket) bool {
	for _, s := range peers {
		if s.called {
			return true
		}
	}
	return false
}

// reachHome binds what leads to the classes of v in its home, and names them.
func (p *plan) reachHome(user *workerd.Worker, v *config.Version, peers map[peerKey]peerSocket) ([]string, error) {
	var names []string
	for _, c := range v.Classes {
		s, ok := peers[peerKey{class: c.Name}]
		if !ok {
			return nil, fmt.Errorf("nobody listens for the class %s", c.Name)
		}
		service := "class " + c.Name
		p.service(workerd.Service{Name: service, External: peerService(s.path)})
		user.Bindings = append(user.Bindings, workerd.Binding{Name: "selvage " + c.Name, Value: workerd.ServiceValue{Name: service}})
		names = append(names, c.Name)
	}
	p.extend(remoteModule)
	return names, nil
}

// farClasses is the end of a main module, whose exports of those names lead to
// another cell. They come before those of the user's module.
func farClasses(names []string) string {
	var s strings.Builder
	fmt.Fprintf(&s, "import { gates } from %q;\nimport { remote } from %q;\n", invocationModule, remoteModule.Name)
	for i, name := range names {
		fmt.Fprintf(&s, "const far%d = remote(() => gates[%s]);\nexport { far%[1]d as %[2]s };\n", i, quoteJS(name))
	}
	return s.String()
}
