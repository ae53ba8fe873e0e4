package s3

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/selvage-edge/selvage/hop/target"
)

// address is what a request is about.
type address struct {
	bucketName string // empty: all buckets
	key        string // empty: the bucket
	query      url.Values
}

// parse reads the address as it stands on the wire.
func (h *Handler) parse(r *http.Request) (a address, err error) {
	host, path := hostName(r.Host), target.Path(r.URL)
	if a.query, err = url.ParseQuery(r.URL.RawQuery); err != nil {
		return a, errURI
	}
	path = strings.TrimPrefix(path, "/")
	for _, suffix := range h.options.Hosts {
		if name, ok := strings.CutSuffix(host, "."+suffix); ok && name != "" {
			a.bucketName = name
			a.key, err = url.PathUnescape(path)
			return a, orURI(err)
		}
	}
	bucket, key, _ := strings.Cut(path, "/")
	if a.bucketName, err = url.PathUnescape(bucket); err == nil {
		a.key, err = url.PathUnescape(key)
	}
	if err == nil && a.bucketName == "" && a.key != "" {
		return a, badRequest("InvalidBucketName", "The specified bucket name is not valid.")
	}
	return a, orURI(err)
}

func orURI(err error) error {
	if err != nil {
		return errURI
	}
	return nil
}

// level is what an operation is about.
type level int

const (
	account level = iota
	bucket
	object
)

func (a *address) level() level {
	switch {
	case a.bucketName == "":
		return account
	case a.key == "":
		return bucket
	}
	return object
}

// operation is something that a request can ask for.
type operation struct {
	method string
	on     level
	// query and header must be there for it; "" for none.
	query, header string
	// name is S3's.
	name string
	// write and settings say which right it takes: see Access.
	write, settings bool
	// do does it. Nil: R2 does not have it.
	do func(*call) error
}

const (
	reads  = false
	writes = true
)

// operations in the order in which they are tried: what only method and level select
// comes last.
//
// Source: https://developers.cloudflare.com/r2/api/s3/api/
var operations = slices.Concat([]operation{
	{"GET", account, "", "", "ListBuckets", reads, true, (*call).listBuckets},

	{"GET", bucket, "location", "", "GetBucketLocation", reads, false, (*call).bucketLocation},
	{"GET", bucket, "encryption", "", "GetBucketEncryption", reads, false, (*call).bucketEncryption},
	{"GET", bucket, "cors", "", "GetBucketCors", reads, true, (*call).getBucketCORS},
	{"PUT", bucket, "cors", "", "PutBucketCors", writes, true, (*call).putBucketCORS},
	{"DELETE", bucket, "cors", "", "DeleteBucketCors", writes, true, (*call).deleteBucketCORS},
	{"GET", bucket, "lifecycle", "", "GetBucketLifecycleConfiguration", reads, true, (*call).getBucketLifecycle},
	{"PUT", bucket, "lifecycle", "", "PutBucketLifecycleConfiguration", writes, true, (*call).putBucketLifecycle},
	{"DELETE", bucket, "lifecycle", "", "DeleteBucketLifecycle", writes, true, (*call).deleteBucketLifecycle},
	{"GET", bucket, "list-type", "", "ListObjectsV2", reads, false, (*call).listObjectsV2},
	{"GET", bucket, "uploads", "", "ListMultipartUploads", reads, false, (*call).listMultipartUploads},
	{"POST", bucket, "delete", "", "DeleteObjects", writes, false, (*call).deleteObjects},
	{"GET", bucket, "versions", "", "ListObjectVersions", reads, false, nil},
	{"HEAD", bucket, "", "", "HeadBucket", reads, false, (*call).headBucket},

	{"POST", object, "uploads", "", "CreateMultipartUpload", writes, false, (*call).createMultipartUpload},
	{"PUT", object, "uploadId", "X-Amz-Copy-Source", "UploadPartCopy", writes, false, (*call).uploadPartCopy},
	{"PUT", object, "uploadId", "", "UploadPart", writes, false, (*call).uploadPart},
	{"GET", object, "uploadId", "", "ListParts", reads, false, (*call).listParts},
	{"POST", object, "uploadId", "", "CompleteMultipartUpload", writes, false, (*call).completeMultipartUpload},
	{"DELETE", object, "uploadId", "", "AbortMultipartUpload", writes, false, (*call).abortMultipartUpload},
}, absent(), []operation{
	{"GET", bucket, "", "", "ListObjects", reads, false, (*call).listObjects},
	{"PUT", bucket, "", "", "CreateBucket", writes, true, (*call).createBucket},
	{"DELETE", bucket, "", "", "DeleteBucket", writes, true, (*call).deleteBucket},
	{"GET", object, "", "", "GetObject", reads, false, (*call).getObject},
	{"HEAD", object, "", "", "HeadObject", reads, false, (*call).headObject},
	{"PUT", object, "", "X-Amz-Copy-Source", "CopyObject", writes, false, (*call).copyObject},
	{"PUT", object, "", "", "PutObject", writes, false, (*call).putObject},
	{"DELETE", object, "", "", "DeleteObject", writes, false, (*call).deleteObject},

	{method: "POST", on: bucket, name: "PostObject", write: true},
	{method: "POST", on: object, name: "PostObject", write: true},
})

// absent are the operations of S3 that R2 does not have, so that none of them is
// taken for another one.
func absent() (list []operation) {
	for _, of := range []struct {
		on   level
		name string // of the operations, behind Get, Put and Delete
		sub  string
	}{
		{bucket, "BucketAccelerateConfiguration", "accelerate"},
		{bucket, "BucketAcl", "acl"},
		{bucket, "BucketAnalyticsConfiguration", "analytics"},
		{bucket, "BucketEncryption", "encryption"},
		{bucket, "BucketIntelligentTieringConfiguration", "intelligent-tiering"},
		{bucket, "BucketInventoryConfiguration", "inventory"},
		{bucket, "BucketLogging", "logging"},
		{bucket, "BucketMetadataConfiguration", "metadataConfiguration"},
		{bucket, "BucketMetadataTableConfiguration", "metadataTable"},
		{bucket, "BucketMetricsConfiguration", "metrics"},
		{bucket, "BucketNotificationConfiguration", "notification"},
		{bucket, "BucketOwnershipControls", "ownershipControls"},
		{bucket, "BucketPolicy", "policy"},
		{bucket, "BucketPolicyStatus", "policyStatus"},
		{bucket, "BucketReplication", "replication"},
		{bucket, "BucketRequestPayment", "requestPayment"},
		{bucket, "BucketTagging", "tagging"},
		{bucket, "BucketVersioning", "versioning"},
		{bucket, "BucketWebsite", "website"},
		{bucket, "ObjectLockConfiguration", "object-lock"},
		{bucket, "PublicAccessBlock", "publicAccessBlock"},
		{bucket, "Session", "session"},
		{object, "ObjectAcl", "acl"},
		{object, "ObjectAttributes", "attributes"},
		{object, "ObjectLegalHold", "legal-hold"},
		{object, "ObjectRetention", "retention"},
		{object, "ObjectTagging", "tagging"},
		{object, "ObjectTorrent", "torrent"},
		{object, "ObjectRename", "renameObject"},
		{object, "ObjectRestore", "restore"},
		{object, "ObjectSelect", "select"},
	} {
		for method, verb := range map[string]string{"GET": "Get", "PUT": "Put", "POST": "Post", "DELETE": "Delete"} {
			list = append(list, operation{method: method, on: of.on, query: of.sub, name: verb + of.name, write: method != "GET"})
		}
	}
	return list
}

// operation finds what the request asks for.
func (a *address) operation(r *http.Request) (operation, error) {
	on := a.level()
	for _, o := range operations {
		if o.method == r.Method && o.on == on && (o.query == "" || a.query.Has(o.query)) && (o.header == "" || r.Header.Get(o.header) != "") {
			return o, nil
		}
	}
	return operation{}, errMethod
}
