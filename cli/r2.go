package cli

import (
	"context"
	"fmt"
	"net/http"

	"github.com/selvage-edge/selvage/binding/r2"
)

type r2Command struct {
	CORS         r2CORSCommand         `cmd:"" name:"cors" help:"Manage the CORS rules of a bucket."`
	Key          r2KeyCommand          `cmd:"" help:"Manage access keys of the S3 API."`
	Notification r2NotificationCommand `cmd:"" help:"Manage which queues are told of changes in a bucket."`
	Scrub        r2ScrubCommand        `cmd:"" help:"Read all objects, and name those that are damaged."`
}

type r2ScrubCommand struct {
	serverData
	JSON bool `name:"json" help:"Print JSON."`
}

// Run reads all objects of a data directory, also while a server runs on it.
func (c *r2ScrubCommand) Run(ctx context.Context, streams IO) (err error) {
	client, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if wrong := client.close(); err == nil {
			err = wrong
		}
	}()
	var found r2.Scrubbed
	if err := client.call(ctx, http.MethodGet, "/local/r2/scrub", nil, &found); err != nil {
		return err
	}
	if c.JSON {
		if err := printJSON(streams.Stdout, found); err != nil {
			return err
		}
	} else {
		for _, d := range found.Damaged {
			fmt.Fprintf(streams.Stdout, "%s/%s: %s\n", d.Bucket, d.Key, d.Reason)
		}
		fmt.Fprintf(streams.Stdout, "%d objects, %d MiB read, %d damaged\n", found.Objects, found.Bytes>>20, found.Count)
	}
	if found.Count > 0 {
		return fmt.Errorf("%d objects are damaged: put them again, or restore them from a backup", found.Count)
	}
	return nil
}
