package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// trip is one client that takes the files of a folder to a bucket of its own and
// back.
type trip struct {
	dir      string // the client's own, empty at first
	files    string
	endpoint string
	key      accessKey
	bucket   string
}

// client is a program that nobody here wrote.
type client struct {
	name, program string
	// roundTrip leaves what came back in the folder that it returns, and nothing on
	// the server.
	roundTrip func(context.Context, trip) (string, error)
}

// clients are in Debian's packages of the same name.
var clients = []client{
	{"rclone", "rclone", rclone},
	{"s3cmd", "s3cmd", s3cmd},
	{"awscli", "/usr/bin/aws", awscli}, // not what else may be called aws
	{"restic", "restic", restic},
}

// do is a round trip that fails when what came back is not what was sent.
func (c client) do(ctx context.Context, t trip) error {
	back, err := c.roundTrip(ctx, t)
	if err != nil {
		return err
	}
	return sameFiles(t.files, back)
}

// steps runs the program once for each list of arguments.
func (t trip) steps(ctx context.Context, env []string, program string, steps ...[]string) error {
	for _, args := range steps {
		if _, err := command(ctx, t.dir, env, program, args...); err != nil {
			return err
		}
	}
	return nil
}

func (t trip) awsEnvironment() []string {
	return []string{"AWS_ACCESS_KEY_ID=" + t.key.ID, "AWS_SECRET_ACCESS_KEY=" + t.key.Secret, "AWS_DEFAULT_REGION=auto", "AWS_EC2_METADATA_DISABLED=true"}
}

func rclone(ctx context.Context, t trip) (string, error) {
	env := []string{"RCLONE_CONFIG=" + filepath.Join(t.dir, "none"), "RCLONE_CONFIG_R2_TYPE=s3", "RCLONE_CONFIG_R2_PROVIDER=Cloudflare", "RCLONE_CONFIG_R2_REGION=auto",
		"RCLONE_CONFIG_R2_ENDPOINT=" + t.endpoint, "RCLONE_CONFIG_R2_ACCESS_KEY_ID=" + t.key.ID, "RCLONE_CONFIG_R2_SECRET_ACCESS_KEY=" + t.key.Secret}
	remote, back := "r2:"+t.bucket, filepath.Join(t.dir, "back")
	return back, t.steps(ctx, env, "rclone",
		[]string{"mkdir", remote},
		[]string{"copy", t.files, remote + "/some folder"},
		[]string{"check", t.files, remote + "/some folder"}, // sizes and MD5
		[]string{"copy", remote + "/some folder", back},
		[]string{"moveto", remote + "/some folder/one", remote + "/moved ü"},
		[]string{"delete", remote},
		[]string{"rmdir", remote})
}

func s3cmd(ctx context.Context, t trip) (string, error) {
	config := filepath.Join(t.dir, "s3cfg")
	host := strings.TrimPrefix(t.endpoint, "http://")
	text := fmt.Sprintf("[default]\naccess_key = %s\nsecret_key = %s\nhost_base = %s\nhost_bucket = %s\nuse_https = False\nbucket_location = auto\nprogress_meter = False\n", t.key.ID, t.key.Secret, host, host)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return "", err
	}
	back := filepath.Join(t.dir, "back")
	if err := os.Mkdir(back, 0o755); err != nil {
		return "", err
	}
	bucket := "s3://" + t.bucket
	run := func(args ...string) []string { return append([]string{"-c", config}, args...) }
	return back, t.steps(ctx, nil, "s3cmd",
		run("mb", bucket),
		run("sync", t.files+"/", bucket+"/some folder/"),
		run("ls", "--recursive", bucket),
		run("sync", bucket+"/some folder/", back+"/"),
		run("mv", bucket+"/some folder/one", bucket+"/moved ü"),
		run("del", "--recursive", "--force", bucket),
		run("rb", bucket))
}

func awscli(ctx context.Context, t trip) (string, error) {
	back, bucket := filepath.Join(t.dir, "back"), "s3://"+t.bucket
	run := func(args ...string) []string { return append([]string{"--endpoint-url", t.endpoint, "s3"}, args...) }
	return back, t.steps(ctx, t.awsEnvironment(), "/usr/bin/aws",
		run("mb", bucket),
		run("sync", "--only-show-errors", t.files, bucket+"/some folder"),
		run("ls", "--recursive", bucket),
		run("sync", "--only-show-errors", bucket+"/some folder", back),
		run("mv", "--only-show-errors", bucket+"/some folder/one", bucket+"/moved ü"),
		run("rm", "--only-show-errors", "--recursive", bucket),
		run("rb", bucket))
}

// restic keeps its own repository in the bucket, which it deletes only with other
// programs' help.
func restic(ctx context.Context, t trip) (string, error) {
	env := append(t.awsEnvironment(), "RESTIC_PASSWORD=secret", "RESTIC_REPOSITORY=s3:"+t.endpoint+"/"+t.bucket, "RESTIC_CACHE_DIR="+filepath.Join(t.dir, "cache"))
	back := filepath.Join(t.dir, "back")
	err := t.steps(ctx, env, "restic",
		[]string{"init"},
		[]string{"backup", "--quiet", t.files},
		[]string{"check", "--quiet", "--read-data"},
		[]string{"restore", "--quiet", "latest", "--target", back},
		[]string{"forget", "--quiet", "--keep-last", "1", "--prune"})
	if err != nil {
		return "", err
	}
	return filepath.Join(back, t.files), t.steps(ctx, t.awsEnvironment(), "/usr/bin/aws", []string{"--endpoint-url", t.endpoint, "s3", "rb", "--force", "s3://" + t.bucket})
}

// makeFiles makes a folder with a file of each size; large ones are sparse.
func makeFiles(dir string, sizes map[string]int64) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, size := range sizes {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		// Something at both ends, so that no two parts at the edges are alike.
		_, err = f.WriteString(strings.Repeat("beginning ", int(min(size, 100)))[:min(size, 1000)])
		if err == nil {
			err = f.Truncate(size)
		}
		if err == nil && size > 2000 {
			_, err = f.WriteAt([]byte("end"), size-3)
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// sameFiles says what differs between two folders.
func sameFiles(want, got string) error {
	names := func(dir string) (list []string, err error) {
		err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				name, _ := filepath.Rel(dir, path)
				list = append(list, name)
			}
			return err
		})
		return list, err
	}
	wanted, err := names(want)
	if err != nil {
		return err
	}
	found, err := names(got)
	if err != nil {
		return err
	}
	if strings.Join(wanted, "\n") != strings.Join(found, "\n") {
		return fmt.Errorf("files %q came back as %q", wanted, found)
	}
	for _, name := range wanted {
		if err := sameContent(filepath.Join(want, name), filepath.Join(got, name)); err != nil {
			return err
		}
	}
	return nil
}

func sameContent(want, got string) error {
	a, err := os.Open(want)
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := os.Open(got)
	if err != nil {
		return err
	}
	defer b.Close()
	x, y := make([]byte, 1<<20), make([]byte, 1<<20)
	for offset := int64(0); ; {
		n, errA := io.ReadFull(a, x)
		m, errB := io.ReadFull(b, y)
		if !bytes.Equal(x[:n], y[:m]) {
			return fmt.Errorf("%s came back with other content within 1 MiB from byte %d", filepath.Base(want), offset)
		}
		if errA != nil || errB != nil {
			if errA == errB && (errA == io.EOF || errA == io.ErrUnexpectedEOF) {
				return nil
			}
			return errors.Join(errA, errB)
		}
		offset += int64(n)
	}
}
