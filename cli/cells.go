package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/selvage-edge/selvage/platform"
)

type cellsCommand struct {
	serverData
	JSON bool `name:"json" help:"Print JSON."`
}

// Run lists the cells of the server that runs on the data directory.
func (c *cellsCommand) Run(ctx context.Context, streams IO) error {
	list, err := c.cells(ctx, "")
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(streams.Stdout, list)
	}
	w := tabwriter.NewWriter(streams.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "WORKER\tVERSION\tPID\tSTATE\tSINCE\tMEMORY\tCPU\tREQUESTS\tRESTARTS")
	for _, i := range list {
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%d MiB\t%.1f s\t%d\t%d\n", i.Worker, i.Version, i.PID, i.State,
			i.Started.Local().Format(time.DateTime), i.Memory>>20, i.CPU, i.InFlight, i.Restarts)
	}
	return w.Flush()
}

type cellCommand struct {
	Config cellConfigCommand `cmd:"" help:"Print the configuration of a Worker's process, without code and secrets."`
}

type cellConfigCommand struct {
	serverData
	Name string `arg:"" help:"The Worker."`
}

// Run prints the configuration of each cell of a Worker. There are several
// while versions share the requests, and while one takes over from another.
func (c *cellConfigCommand) Run(ctx context.Context, streams IO) error {
	list, err := c.cells(ctx, c.Name)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return fmt.Errorf("no process runs the Worker %q; it starts with the first request, and `selvage cells` lists those that run", c.Name)
	}
	for _, i := range list {
		fmt.Fprintf(streams.Stdout, "# version %s, process %d, %s\n%s", i.Version, i.PID, i.State, i.Config)
	}
	return nil
}

// cells asks the running server; it fails when there is none.
func (d *serverData) cells(ctx context.Context, worker string) ([]platform.CellInfo, error) {
	dir, err := d.dir()
	if err != nil {
		return nil, err
	}
	i, err := platform.Inspect(dir)
	if err != nil {
		return nil, err
	}
	if !i.InUse || i.Holder.Socket == "" {
		return nil, fmt.Errorf("no server runs on %s; start one with `selvage serve`, or name the data directory of the one that runs with --data", dir)
	}
	server, err := dial(ctx, i.Holder.Socket, i.Holder.Secret)
	if err != nil {
		return nil, err
	}
	defer server.close()
	path := "/local/cells"
	if worker != "" {
		path += "/" + url.PathEscape(worker)
	}
	var list []platform.CellInfo
	return list, server.call(ctx, http.MethodGet, path, nil, &list)
}
