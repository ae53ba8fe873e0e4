package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/selvage-edge/selvage/conformance/verdict"
	"github.com/selvage-edge/selvage/internal/servertest"
)

// fixtures are the projects of workers-sdk with tests for workflows.
var fixtures = []suite{fixture("workflow"), fixture("workflow-multiple")}

// fixture is a folder below fixtures/ of workers-sdk, whose tests start
// `wrangler dev` by a helper that all fixtures share.
type fixture string

func (f fixture) name() string { return "fixtures/" + string(f) }

// helper takes the place of that helper.
//
//go:embed helper.ts
var helper []byte

const vitestConfig = "export default { test: { testTimeout: 30000, hookTimeout: 60000 } };\n"

// run copies the project, without the TypeScript settings that lead out of it,
// beside our helper, and runs vitest.
func (f fixture) run(ctx context.Context, dir string, log *slog.Logger) (map[string]verdict.Outcome, error) {
	modules, err := filepath.Abs(filepath.Join(dir, "node_modules"))
	if err != nil {
		return nil, err
	}
	scratch, err := os.MkdirTemp("", "suites-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(scratch)
	at := func(parts ...string) string { return filepath.Join(append([]string{scratch}, parts...)...) }
	selvage := at("selvage")
	if err := servertest.Build(ctx, selvage); err != nil {
		return nil, err
	}
	project := at("fixtures", string(f))
	if err := os.CopyFS(project, os.DirFS(filepath.Join(dir, "fixtures", string(f)))); err != nil {
		return nil, err
	}
	for _, folder := range []string{"", "tests"} {
		os.Remove(filepath.Join(project, folder, "tsconfig.json")) // it may not be there
	}
	if err := os.MkdirAll(at("fixtures", "shared", "src"), 0o755); err != nil {
		return nil, err
	}
	for path, data := range map[string][]byte{
		at("fixtures", "shared", "src", "run-wrangler-long-lived.ts"): helper, at("vitest.config.mjs"): []byte(vitestConfig), at("package.json"): []byte(`{"type":"module"}`),
	} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			return nil, err
		}
	}
	if err := os.Symlink(modules, at("node_modules")); err != nil {
		return nil, err
	}
	report := at("report.json")
	cmd := exec.CommandContext(ctx, filepath.Join(modules, ".bin", "vitest"), "run", "--config", "vitest.config.mjs", "--reporter", "json", "--outputFile", report)
	cmd.Dir, cmd.Env = scratch, append(os.Environ(), "SELVAGE="+selvage, "SELVAGE_DATA="+at("data"))
	text, err := cmd.CombinedOutput()
	log.Info("vitest", "fixture", string(f), "output", string(text))
	data, missing := os.ReadFile(report)
	if missing != nil {
		return nil, fmt.Errorf("run vitest: %v\n%s", err, text) // tests that fail are no error
	}
	return readReport(data)
}

// readReport reads what vitest's reporter "json" writes.
func readReport(data []byte) (map[string]verdict.Outcome, error) {
	var report struct {
		Files []struct {
			Message string `json:"message"`
			Tests   []struct {
				Name     string   `json:"fullName"`
				Status   string   `json:"status"`
				Failures []string `json:"failureMessages"`
			} `json:"assertionResults"`
		} `json:"testResults"`
	}
	if err := json.NewDecoder(bytes.NewReader(data)).Decode(&report); err != nil {
		return nil, fmt.Errorf("read vitest's report: %w", err)
	}
	results := map[string]verdict.Outcome{}
	for _, file := range report.Files {
		if len(file.Tests) == 0 {
			return nil, fmt.Errorf("the tests do not load: %s", file.Message)
		}
		for _, t := range file.Tests {
			results[t.Name] = ""
			if t.Status != "passed" {
				results[t.Name] = t.Status + " " + strings.Join(t.Failures, "\n")
			}
		}
	}
	return results, nil
}
