package s3

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/selvage-edge/selvage/binding/r2"
)

// locations are what a bucket may be asked for to be. All buckets are here.
var locations = []string{"", "auto", "us-east-1", "apac", "eeur", "enam", "oc", "weur", "wnam"}

// listBuckets has R2's parameters, which may come as headers, too.
func (c *call) listBuckets() error {
	parameter := func(name string) string {
		if v := c.r.Header.Get("Cf-" + name); v != "" {
			return v
		}
		return c.query.Get(name)
	}
	limit := r2.MaxListKeys
	if v := parameter("max-keys"); v != "" {
		var err error
		if limit, err = maxKeys(v); err != nil {
			return err
		}
	}
	infos, err := c.store.Buckets(c.r.Context())
	if err != nil {
		return err
	}
	prefix, after, token := parameter("prefix"), parameter("start-after"), parameter("continuation-token")
	d := newDocument("ListAllMyBucketsResult")
	d.begin("Buckets")
	count, next, last := 0, "", ""
	for _, info := range infos {
		if !strings.HasPrefix(info.Name, prefix) || info.Name <= after || info.Name <= token {
			continue
		}
		if count == limit {
			next = last
			break
		}
		count, last = count+1, info.Name
		d.begin("Bucket")
		d.time("CreationDate", info.Created)
		d.text("Name", info.Name)
		d.end("Bucket")
	}
	d.end("Buckets")
	c.owner(d, "Owner")
	d.boolean("IsTruncated", next != "")
	d.optional("NextContinuationToken", next)
	d.optional("StartAfter", after)
	d.optional("ContinuationToken", token)
	d.optional("Prefix", prefix)
	d.number("KeyCount", int64(count))
	d.number("MaxKeys", int64(limit))
	d.end("ListAllMyBucketsResult")
	if next != "" {
		c.w.Header().Set("Cf-Is-Truncated", "true")
		c.w.Header().Set("Cf-Next-Continuation-Token", next)
	}
	return c.write(d)
}

// owner writes who owns everything.
func (c *call) owner(d *document, element string) {
	d.begin(element)
	d.text("ID", c.options.Owner)
	d.text("DisplayName", c.options.Owner)
	d.end(element)
}

// maxKeys reads the size of a page.
func maxKeys(v string) (int, error) {
	n, err := strconv.Atoi(v)
	if err != nil {
		return 0, invalidArgument("Provided max-keys not an integer or within integer range")
	}
	if n < 0 || n > r2.MaxListKeys {
		return 0, badRequest("InvalidMaxKeys", "MaxKeys params must be positive integer <= %d.", r2.MaxListKeys)
	}
	return n, nil
}

func (c *call) createBucket() error {
	location, err := c.wantedLocation()
	if err != nil {
		return err
	}
	if _, err := c.store.CreateBucket(c.r.Context(), r2.Info{Name: c.bucketName, Location: location}); err != nil {
		return err
	}
	c.w.Header().Set("Location", "/"+c.bucketName)
	c.w.empty(http.StatusOK)
	return nil
}

// wantedLocation reads the body of CreateBucket, "" for anywhere.
func (c *call) wantedLocation() (string, error) {
	root, err := c.read("CreateBucketConfiguration", 64<<10)
	if err != nil || root == nil {
		return "", err
	}
	if err := root.only("LocationConstraint"); err != nil {
		return "", err
	}
	wanted, err := root.text("LocationConstraint")
	if err != nil {
		return "", err
	}
	for _, l := range locations {
		if strings.EqualFold(l, wanted) {
			if l == "auto" || l == "us-east-1" {
				l = ""
			}
			return strings.ToUpper(l), nil
		}
	}
	return "", badRequest("InvalidLocationConstraint", "The specified location-constraint is not valid: use auto or one of wnam, enam, weur, eeur, apac, oc.")
}

func (c *call) deleteBucket() error {
	if _, err := c.bucket(); err != nil {
		return err
	}
	if err := c.store.DeleteBucket(c.r.Context(), c.bucketName); err != nil {
		return err
	}
	c.w.empty(http.StatusNoContent)
	return nil
}

func (c *call) headBucket() error {
	if _, err := c.bucket(); err != nil {
		return err
	}
	c.w.Header().Set("X-Amz-Bucket-Region", Region)
	c.w.Header().Set("Content-Type", "application/xml")
	c.w.empty(http.StatusOK)
	return nil
}

func (c *call) bucketLocation() error {
	if _, err := c.bucket(); err != nil {
		return err
	}
	info, err := c.store.Info(c.r.Context(), c.bucketName)
	if err != nil {
		return err
	}
	at := info.Location
	if at == "" {
		at = Region
	}
	d := newDocument("LocationConstraint")
	d.b = appendEscaped(d.b, at)
	d.end("LocationConstraint")
	return c.write(d)
}

// bucketEncryption says that nothing is encrypted unless a client brings a key: on
// R2 everything is.
func (c *call) bucketEncryption() error {
	if _, err := c.bucket(); err != nil {
		return err
	}
	return refuse(http.StatusNotFound, "ServerSideEncryptionConfigurationNotFoundError", "The server side encryption configuration was not found")
}

// ensure makes the bucket of an upload that asks for it.
//
// Source: https://developers.cloudflare.com/r2/api/s3/extensions/
func (c *call) ensure(ctx context.Context) (*r2.Bucket, error) {
	b, err := c.bucket()
	if !errors.Is(err, r2.ErrNoSuchBucket) || c.r.Header.Get("Cf-Create-Bucket-If-Missing") != "true" {
		return b, err
	}
	if !c.access.Allows("", true) {
		return nil, errAccessDenied
	}
	if c.options.Audit != nil {
		record := *c.record
		record.Operation = "CreateBucket"
		if err := c.options.Audit(ctx, record); err != nil {
			return nil, err
		}
	}
	if _, err := c.store.CreateBucket(ctx, r2.Info{Name: c.bucketName}); err != nil && !errors.Is(err, r2.ErrBucketExists) {
		return nil, err
	}
	return c.bucket()
}
