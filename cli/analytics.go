package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/selvage-edge/selvage/binding/analytics"
)

type analyticsCommand struct {
	dataFlag
	projectFlag
	Query string `arg:"" help:"A query of the SQL API, such as \"SHOW TABLES FORMAT TabSeparated\". The format is JSON if it names none."`
}

// Run asks the SQL API and prints its answer.
func (c *analyticsCommand) Run(ctx context.Context, streams IO) error {
	data, err := c.dataDir(&c.dataFlag)
	if err != nil {
		return err
	}
	client, err := connect(ctx, data)
	if err != nil {
		return err
	}
	return errors.Join(c.ask(ctx, client, streams.Stdout), client.close())
}

func (c *analyticsCommand) ask(ctx context.Context, client *client, out io.Writer) error {
	response, err := client.send(ctx, http.MethodPost, client.path(new(analytics.Kind).Type(), "sql"), strings.NewReader(c.Query))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusOK {
		_, err := io.Copy(out, response.Body)
		return err
	}
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	return fmt.Errorf("%s: %s", response.Status, strings.TrimSpace(string(text)))
}
