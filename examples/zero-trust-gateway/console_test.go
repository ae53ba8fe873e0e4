package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/selvage-edge/selvage/internal/poll"
)

// step is a command of a console block and the output shown below it.
type step struct {
	line    int
	command string
	output  string
}

// parseConsole collects the steps of all ```console blocks.
func parseConsole(markdown string) []step {
	var steps []step
	inside, continued := false, false
	for i, line := range strings.Split(markdown, "\n") {
		switch {
		case strings.HasPrefix(line, "```"):
			inside = line == "```console"
		case !inside:
		case strings.HasPrefix(line, "$ "):
			steps = append(steps, step{line: i + 1, command: strings.TrimSuffix(line[2:], `\`)})
			continued = strings.HasSuffix(line, `\`)
		case continued:
			last := &steps[len(steps)-1]
			last.command += strings.TrimSuffix(strings.TrimSpace(line), `\`)
			continued = strings.HasSuffix(line, `\`)
		default:
			steps[len(steps)-1].output += line + "\n"
		}
	}
	return steps
}

// console runs the commands of the README. It knows the few that occur there,
// so that neither a shell nor curl is needed.
type console struct {
	*system
	vars     map[string]string // shell variables
	tmp      string            // stands for /tmp
	requests []request
}

// request is what a client knows about a request that it made.
type request struct {
	method, path, id string
	status           int
}

var (
	assignToken = regexp.MustCompile(`^(\w+)=\$\(go run \./examples/zero-trust-gateway/token ?(.*)\)$`)
	makeFile    = regexp.MustCompile(`^head -c (\d+) /dev/zero > /tmp/([\w.]+)$`)
	runSelvage  = regexp.MustCompile(`^\(cd examples/zero-trust-gateway && go run \.\./\.\./cmd/selvage (.*)\)$`)
)

func (c *console) run(s step) error {
	if m := assignToken.FindStringSubmatch(s.command); m != nil {
		out, err := exec.Command(filepath.Join(bin, "token"), c.words(m[2])...).Output()
		c.vars[m[1]] = strings.TrimSpace(string(out))
		return err
	}
	if m := makeFile.FindStringSubmatch(s.command); m != nil {
		size, err := strconv.Atoi(m[1])
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(c.tmp, m[2]), make([]byte, size), 0o600)
	}
	if m := runSelvage.FindStringSubmatch(s.command); m != nil {
		// Audit rows are written behind the answer, so the last ones may be a moment late.
		var err error
		poll.Within(poll.Patience, func() bool {
			var out string
			if out, err = c.selvage(c.words(m[1])...); err == nil {
				err = matchText(s.output, out)
			}
			return err == nil
		})
		return err
	}
	if args := c.words(s.command); args[0] == "curl" {
		return c.curl(args[1:], s.output)
	}
	return errors.New("the test does not know this command")
}

// selvage runs a command in the project's directory on the running system's data.
func (c *console) selvage(args ...string) (string, error) {
	cmd := exec.Command(filepath.Join(bin, "selvage"), append(args, "--data", c.data)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("selvage %s: %w\n%s%s", strings.Join(args, " "), err, out, stderr.Bytes())
	}
	return string(out), nil
}

// words splits a command as a shell does: quotes, and variables outside of single quotes.
func (c *console) words(command string) []string {
	var words []string
	var word strings.Builder
	var quote rune
	started := false
	for _, r := range command {
		switch {
		case r == quote:
			quote = 0
			word.WriteRune(0)
		case quote == 0 && (r == '"' || r == '\''):
			quote, started = r, true
		case quote == 0 && r == ' ':
			if started {
				words = append(words, c.expand(word.String()))
			}
			word.Reset()
			started = false
		default:
			if r == '$' && quote != '\'' {
				r = 1 // marks a variable
			}
			word.WriteRune(r)
			started = true
		}
	}
	if started {
		words = append(words, c.expand(word.String()))
	}
	return words
}

var variable = regexp.MustCompile("\x01(\\w+)")

func (c *console) expand(word string) string {
	word = variable.ReplaceAllStringFunc(word, func(m string) string { return c.vars[m[1:]] })
	return strings.ReplaceAll(word, "\x00", "")
}

// curl does what curl does with these arguments and compares what it would print.
func (c *console) curl(args []string, output string) error {
	method, target, dataFrom := "", "", ""
	var data []byte
	var include, discard bool
	header := http.Header{}
	for len(args) > 0 {
		arg, value := args[0], ""
		args = args[1:]
		switch arg {
		case "-X", "-H", "-d", "--data-binary", "-o":
			if len(args) == 0 {
				return fmt.Errorf("curl: %s needs a value", arg)
			}
			value, args = args[0], args[1:]
		}
		switch arg {
		case "-s":
		case "-i":
			include = true
		case "-si", "-is":
			include = true
		case "-X":
			method = value
		case "-H":
			name, v, _ := strings.Cut(value, ":")
			header.Add(name, strings.TrimSpace(v))
		case "-d", "--data-binary":
			dataFrom = value
		case "-o":
			discard = true
		default:
			if strings.HasPrefix(arg, "-") {
				return fmt.Errorf("curl: the test does not know %s", arg)
			}
			target = arg
		}
	}
	if file, ok := strings.CutPrefix(dataFrom, "@/tmp/"); ok {
		var err error
		if data, err = os.ReadFile(filepath.Join(c.tmp, file)); err != nil {
			return err
		}
	} else {
		data = []byte(dataFrom)
	}
	if dataFrom != "" && header.Get("Content-Type") == "" {
		header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if method == "" {
		method = map[bool]string{false: "GET", true: "POST"}[dataFrom != ""]
	}

	var shown strings.Builder
	var last *http.Response
	for _, u := range expandRange(target) {
		resp, body, err := c.send(method, u, header, data)
		if err != nil {
			return err
		}
		last = resp
		if !discard {
			shown.Write(body)
		}
	}
	if !include {
		return matchText(output, shown.String())
	}
	head, body, _ := strings.Cut(output, "\n\n")
	if err := matchHead(head, last); err != nil {
		return fmt.Errorf("%w\n%s", err, shown.String())
	}
	return matchText(body, shown.String())
}

func (c *console) send(method, target string, header http.Header, data []byte) (*http.Response, []byte, error) {
	u, err := url.Parse(strings.Replace(target, "http://localhost:8787", c.url, 1))
	if err != nil {
		return nil, nil, err
	}
	req, err := http.NewRequest(method, u.String(), bytes.NewReader(data))
	if err != nil {
		return nil, nil, err
	}
	req.Header = header.Clone()
	if header.Get("Transfer-Encoding") == "chunked" {
		req.Header.Del("Transfer-Encoding")
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(data)), -1
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	c.requests = append(c.requests, request{method, u.Path, resp.Header.Get("X-Request-ID"), resp.StatusCode})
	return resp, body, err
}

// client gives up rather than letting the test hang.
var client = &http.Client{Timeout: 30 * time.Second}

var urlRange = regexp.MustCompile(`\[(\d+)-(\d+)\]`)

// expandRange expands a range as curl does: ?n=[1-3] stands for three URLs.
func expandRange(target string) []string {
	m := urlRange.FindStringSubmatchIndex(target)
	if m == nil {
		return []string{target}
	}
	from, _ := strconv.Atoi(target[m[2]:m[3]])
	to, _ := strconv.Atoi(target[m[4]:m[5]])
	var urls []string
	for n := from; n <= to; n++ {
		urls = append(urls, target[:m[0]]+strconv.Itoa(n)+target[m[1]:])
	}
	return urls
}

// matchHead compares the status line, and the headers that are shown.
func matchHead(want string, resp *http.Response) error {
	lines := strings.Split(strings.TrimSpace(want), "\n")
	if got := resp.Proto + " " + resp.Status; !wildcard(lines[0]).MatchString(got) {
		return fmt.Errorf("status line: got %q, the README shows %q", got, lines[0])
	}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ": ")
		got := strings.Join(resp.Header.Values(name), ", ")
		if resp.Header.Values(name) == nil || !wildcard(value).MatchString(got) {
			return fmt.Errorf("header %s: got %q, the README shows %q", name, got, value)
		}
	}
	return nil
}

// matchText compares output with what the README shows: JSON by value, other
// text by its characters. "…" stands for anything.
func matchText(want, got string) error {
	want, got = strings.TrimSpace(want), strings.TrimSpace(got)
	var w, g any
	if json.Unmarshal([]byte(want), &w) == nil && json.Unmarshal([]byte(got), &g) == nil && matchJSON(w, g) {
		return nil
	}
	if wildcard(want).MatchString(got) {
		return nil
	}
	return fmt.Errorf("got:\n%s\nthe README shows:\n%s", got, want)
}

func matchJSON(want, got any) bool {
	switch want := want.(type) {
	case string:
		if want == "…" {
			return true
		}
		got, ok := got.(string)
		return ok && wildcard(want).MatchString(got)
	case []any:
		got, ok := got.([]any)
		if !ok || len(got) != len(want) {
			return false
		}
		for i := range want {
			if !matchJSON(want[i], got[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		got, ok := got.(map[string]any)
		if !ok || len(got) != len(want) {
			return false
		}
		for name := range want {
			if v, ok := got[name]; !ok || !matchJSON(want[name], v) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(want, got)
}

func wildcard(pattern string) *regexp.Regexp {
	return regexp.MustCompile(`(?s)\A` + strings.ReplaceAll(regexp.QuoteMeta(pattern), "…", ".*") + `\z`)
}
