package main

import (
	"context"
	_ "embed"
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/selvage-edge/selvage/conformance/verdict"
)

// plugin teaches s3-tests to empty a bucket that has no versions, and ends tests
// that hang.
//
//go:embed plugin.py
var plugin string

// files are those of s3-tests that are about S3. The others are about IAM, STS, SNS
// and S3 Select, which R2 does not have.
var files = []string{"s3tests/functional/test_s3.py", "s3tests/functional/test_headers.py"}

// pytest runs s3-tests against the server.
func pytest(ctx context.Context, dir, tests, only string, s *server) (map[string]verdict.Outcome, error) {
	config, report := filepath.Join(dir, "s3tests.conf"), filepath.Join(dir, "report.xml")
	if err := os.WriteFile(config, []byte(configuration(s)), 0o600); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "selvage_plugin.py"), []byte(plugin), 0o644); err != nil {
		return nil, err
	}
	args := append([]string{"-m", "pytest", "-p", "selvage_plugin", "-p", "no:cacheprovider", "-q", "--tb=short", "--junitxml=" + report}, files...)
	if only != "" {
		args = append(args, "-k", only)
	}
	env := []string{"S3TEST_CONF=" + config, "PYTHONPATH=" + dir, "PYTHONDONTWRITEBYTECODE=1", "AWS_MAX_ATTEMPTS=1", "AWS_EC2_METADATA_DISABLED=true",
		"BOTO_DISABLE_CRT=true"} // its signer undoes what tests do to headers
	_, failed := command(ctx, tests, env, "/usr/bin/python3", args...)
	var exit *exec.ExitError
	if failed != nil && (!errors.As(failed, &exit) || exit.ExitCode() != 1) { // 1: some tests fail
		return nil, failed
	}
	data, err := os.ReadFile(report)
	if err != nil {
		return nil, err
	}
	return parseReport(data)
}

// parseReport reads pytest's report in JUnit's format.
func parseReport(data []byte) (map[string]verdict.Outcome, error) {
	type problem struct {
		Message string `xml:"message,attr"`
	}
	var report struct {
		Cases []struct {
			Class   string   `xml:"classname,attr"`
			Name    string   `xml:"name,attr"`
			Failure *problem `xml:"failure"`
			Error   *problem `xml:"error"`
			Skipped *problem `xml:"skipped"`
		} `xml:"testsuite>testcase"`
	}
	if err := xml.Unmarshal(data, &report); err != nil {
		return nil, fmt.Errorf("read pytest's report: %w", err)
	}
	results := map[string]verdict.Outcome{}
	for _, c := range report.Cases {
		name := c.Class[strings.LastIndexByte(c.Class, '.')+1:] + " " + c.Name
		results[name] = ""
		for _, p := range []*problem{c.Failure, c.Error, c.Skipped} {
			if p != nil {
				results[name] = strings.TrimSpace(p.Message)
			}
		}
	}
	if len(results) == 0 {
		return nil, errors.New("pytest has run no test")
	}
	return results, nil
}

// configuration is that of s3-tests. Its three users are three access keys of the
// one account. A day of lifecycle rules has no seconds here.
func configuration(s *server) string {
	host, port, _ := strings.Cut(strings.TrimPrefix(s.endpoint, "http://"), ":")
	var b strings.Builder
	fmt.Fprintf(&b, "[DEFAULT]\nhost = %s\nport = %s\nis_secure = False\nssl_verify = False\n\n[fixtures]\nbucket prefix = s3-tests-{random}-\n\n", host, port)
	for i, name := range []string{"s3 main", "s3 alt", "s3 tenant", "iam", "iam root", "iam alt root"} {
		k := accessKey{"none", "none"}
		if i < len(s.keys) {
			k = s.keys[i]
		}
		fmt.Fprintf(&b, "[%s]\ndisplay_name = %s\nuser_id = %s\nemail = %s@example.com\naccess_key = %s\nsecret_key = %s\n", name, k.ID, k.ID, k.ID, k.ID, k.Secret)
		if name == "s3 main" {
			b.WriteString("api_name = auto\nlc_debug_interval = 0\n")
		}
		if name == "s3 tenant" {
			b.WriteString("tenant = none\n")
		}
		b.WriteByte('\n')
	}
	return b.String()
}
