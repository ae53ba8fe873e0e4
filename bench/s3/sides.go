package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/selvage-edge/selvage/internal/servertest"
)

const (
	bucket     = "bench"
	listBucket = "bench-list"
)

// side is a server as a process of its own.
type side struct {
	name    string
	address string
	dir     string // of files, without a client
	client  *minio.Client
	cmd     *exec.Cmd
}

// starters start the sides; nil without an error for one that is left out.
var starters = []func(ctx context.Context, dir string, o options) (*side, error){startSelvage, startVersity, startMinio, startFiles}

// begin starts a program on a free address and waits until it answers.
func begin(ctx context.Context, name, dir string, env []string, program func(address string) []string) (*side, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &side{name: name, address: l.Addr().String()}
	l.Close()
	args := program(s.address)
	log, err := os.Create(filepath.Join(dir, name+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s.cmd = exec.CommandContext(ctx, args[0], args[1:]...)
	s.cmd.Env, s.cmd.Stdout, s.cmd.Stderr = append(os.Environ(), env...), log, log
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	for deadline := time.Now().Add(time.Minute); ; {
		c, err := net.Dial("tcp", s.address)
		if err == nil {
			c.Close()
			return s, nil
		}
		if time.Now().After(deadline) {
			s.stop()
			return nil, fmt.Errorf("%s does not come up; %s has why", name, log.Name())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// connect makes the client and the buckets.
func (s *side) connect(ctx context.Context, id, secret string) (*side, error) {
	var err error
	s.client, err = minio.New(s.address, &minio.Options{Creds: credentials.NewStaticV4(id, secret, ""), Region: "us-east-1", BucketLookup: minio.BucketLookupPath})
	if err != nil {
		return s, err
	}
	for _, name := range []string{bucket, listBucket} {
		err = errors.Join(err, s.client.MakeBucket(ctx, name, minio.MakeBucketOptions{}))
	}
	if err != nil {
		s.stop()
		return nil, fmt.Errorf("make buckets on %s: %w", s.name, err)
	}
	return s, nil
}

func startSelvage(ctx context.Context, dir string, _ options) (*side, error) {
	program, data := filepath.Join(dir, "selvage"), filepath.Join(dir, "selvage-data")
	if err := servertest.Build(ctx, program); err != nil {
		return nil, err
	}
	made, err := exec.CommandContext(ctx, program, "r2", "key", "create", "--data", data, "--name", "bench", "--admin").Output()
	if err != nil {
		return nil, fmt.Errorf("create a key: %w", err)
	}
	field := func(name string) string {
		_, rest, _ := strings.Cut(string(made), name+":")
		line, _, _ := strings.Cut(rest, "\n")
		return strings.TrimSpace(line)
	}
	s, err := begin(ctx, "selvage", dir, nil, func(address string) []string {
		config := filepath.Join(dir, "selvage.toml")
		text := fmt.Sprintf("data = %q\nhttp.listen = [\"127.0.0.1:0\"]\nadmin.listen = \"127.0.0.1:0\"\ns3.listen = %q\n", data, address)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			panic(err)
		}
		return []string{program, "serve", "--config", config}
	})
	if err != nil {
		return nil, err
	}
	return s.connect(ctx, field("Access key ID"), field("Secret access key"))
}

const peerID, peerSecret = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

func startVersity(ctx context.Context, dir string, o options) (*side, error) {
	program := o.peers["versitygw"]
	if program == "" {
		return nil, nil
	}
	root := filepath.Join(dir, "versitygw")
	if err := os.Mkdir(root, 0o755); err != nil {
		return nil, err
	}
	s, err := begin(ctx, "versitygw", dir, nil, func(address string) []string {
		return []string{program, "--port", address, "--access", peerID, "--secret", peerSecret, "--quiet", "--keep-alive", "posix", root}
	})
	if err != nil {
		return nil, err
	}
	return s.connect(ctx, peerID, peerSecret)
}

func startMinio(ctx context.Context, dir string, o options) (*side, error) {
	program := o.peers["minio"]
	if program == "" {
		return nil, nil
	}
	s, err := begin(ctx, "minio", dir, []string{"MINIO_ROOT_USER=" + peerID, "MINIO_ROOT_PASSWORD=" + peerSecret, "MINIO_BROWSER=off"}, func(address string) []string {
		return []string{program, "server", "--address", address, filepath.Join(dir, "minio")}
	})
	if err != nil {
		return nil, err
	}
	return s.connect(ctx, peerID, peerSecret)
}

func startFiles(ctx context.Context, dir string, _ options) (*side, error) {
	root := filepath.Join(dir, "files")
	if err := os.Mkdir(root, 0o755); err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s, err := begin(ctx, "files", dir, nil, func(address string) []string { return []string{program, "-files", root, address} })
	if s != nil {
		s.dir = root
	}
	return s, err
}

func serveFiles(root, address string) error {
	return http.ListenAndServe(address, http.FileServer(http.Dir(root)))
}

func (s *side) stop() {
	s.cmd.Process.Signal(syscall.SIGTERM)
	s.cmd.Wait()
}

func (s *side) has(r row) bool { return s.client != nil || !r.put && !r.list }

// prepare stores what a row reads.
func (s *side) prepare(ctx context.Context, o options, r row) error {
	content := make([]byte, r.size)
	fill(content)
	switch {
	case r.put:
		return nil
	case r.list:
		return s.fillList(ctx, o.keys)
	case s.client == nil:
		return os.WriteFile(filepath.Join(s.dir, r.name), content, 0o600)
	}
	_, err := s.client.PutObject(ctx, bucket, r.name, bytes.NewReader(content), r.size, minio.PutObjectOptions{DisableMultipart: true})
	return err
}

// fillList stores the keys of the row list, as many at once as a server can use.
func (s *side) fillList(ctx context.Context, keys int) error {
	var group sync.WaitGroup
	var failed atomic.Pointer[error]
	next := make(chan int)
	for range 64 {
		group.Go(func() {
			for n := range next {
				if failed.Load() != nil {
					continue
				}
				if _, err := s.client.PutObject(ctx, listBucket, keyOf(n), strings.NewReader("x"), 1, minio.PutObjectOptions{}); err != nil {
					failed.Store(&err)
				}
			}
		})
	}
	for n := range keys {
		next <- n
	}
	close(next)
	group.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// cpu is the processor time that the server has used.
func (s *side) cpu() time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	// The name stands in parentheses and may hold some itself.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	var ticks int64
	for _, f := range fields[11:13] {
		n, _ := strconv.ParseInt(f, 10, 64)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// peak is the largest resident memory so far, in bytes.
func (s *side) peak() int64 {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var kb int64
	fmt.Sscan(rest, &kb)
	return kb << 10
}

// fresh are eight bytes that nobody has sent before.
func fresh() io.Reader {
	return bytes.NewReader(strconv.AppendInt(nil, 10_000_000+sent.Add(1)%90_000_000, 10))
}

var sent atomic.Int64

func part(p []byte) io.Reader { return bytes.NewReader(p) }
