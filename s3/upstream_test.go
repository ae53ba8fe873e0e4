package s3

import (
	"net/url"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/internal/buckettest"
)

// The S3 API can stand behind a bucket of another Selvage, which then has R2's
// semantics.
func TestBehindBucket(t *testing.T) {
	f := newFixture(t, true)
	_, err := f.store.Ensure("kept")
	f.ok(err)
	buckettest.Run(t, config.Upstream{
		Name: "b", Resource: "kept", Endpoint: &url.URL{Scheme: "http", Host: f.addr}, Region: "us-east-1", PathStyle: true,
		KeyID: keyID, Secret: secret, Timeout: time.Minute,
	})
}
