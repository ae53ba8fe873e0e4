package settings

import (
	"cmp"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/selvage-edge/selvage/config"
)

// upstreams reads the tables [r2.upstreams.NAME].
func (c *checker) upstreams() []config.Upstream {
	var list []config.Upstream
	for _, name := range slices.Sorted(maps.Keys(c.file.R2.Upstreams)) {
		u := c.file.R2.Upstreams[name]
		table := "r2.upstreams." + name
		up := config.Upstream{
			Name: name, Resource: cmp.Or(u.Bucket, name), Region: cmp.Or(u.Region, "us-east-1"), PathStyle: u.PathStyle == nil || *u.PathStyle,
			KeyID: u.AccessKeyID, Timeout: c.duration(table+".timeout", u.Timeout, 30*time.Second, 10*time.Minute),
		}
		if u.Endpoint == "" {
			c.errorf(table, "endpoint is missing: name the S3 server, such as \"https://s3.eu-central-1.amazonaws.com\"")
		} else {
			up.Endpoint = c.endpoint(table+".endpoint", u.Endpoint)
		}
		if up.Timeout == 0 {
			c.errorf(table+".timeout", "it must not be zero: a server could keep a Worker waiting for ever")
		}
		up.Secret = c.secret(table, u)
		list = append(list, up)
	}
	return list
}

// endpoint reads the address of an S3 server, which has no path; nil if it is none.
func (c *checker) endpoint(key, text string) *url.URL {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		c.errorf(key, "%q is not the address of a server; use https://host or http://host:port", text)
		return nil
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}
}

// secret finds the secret key of an upstream.
func (c *checker) secret(table string, u Upstream) (secret string) {
	switch {
	case u.AccessKeyID == "" || (u.SecretFile == "") == (u.SecretEnv == ""):
		c.errorf(table, "it needs access_key_id, and one of secret_file and secret_env")
	case u.SecretEnv != "":
		if secret = os.Getenv(u.SecretEnv); secret == "" {
			c.errorf(table+".secret_env", "the environment has no %s", u.SecretEnv)
		}
	default:
		data, err := os.ReadFile(u.SecretFile)
		if secret = strings.TrimRight(string(data), "\r\n"); err != nil {
			c.errorf(table+".secret_file", "%v", err)
		} else if secret == "" {
			c.errorf(table+".secret_file", "%s is empty", u.SecretFile)
		}
	}
	return secret
}
