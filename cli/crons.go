package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/selvage-edge/selvage/cron"
)

type cronsCommand struct {
	dataFlag
	projectFlag
	Name string `arg:"" optional:"" help:"The Worker. Default: all."`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Run lists the last runs of cron triggers.
func (c *cronsCommand) Run(ctx context.Context, streams IO) error {
	data, err := c.dataDir(&c.dataFlag)
	if err != nil {
		return err
	}
	client, err := connect(ctx, data)
	if err != nil {
		return err
	}
	var runs []cron.Run
	err = client.call(ctx, http.MethodGet, "/local/crons?worker="+url.QueryEscape(c.Name), nil, &runs)
	if err := errors.Join(err, client.close()); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(streams.Stdout, runs)
	}
	w := tabwriter.NewWriter(streams.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "WORKER\tCRON\tMINUTE (UTC)\tOUTCOME\tTOOK\tERROR")
	for _, r := range runs {
		if r.Outcome == "" {
			r.Outcome = "(none yet)"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", r.Worker, r.Cron, r.Time.UTC().Format("2006-01-02 15:04"), r.Outcome,
			time.Duration(r.Took*float64(time.Second)).Round(time.Millisecond), r.Error)
	}
	return w.Flush()
}
