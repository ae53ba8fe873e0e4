// Package upstream holds R2 buckets behind S3 servers to R2's semantics: behind
// versitygw, and behind Selvage itself. It is a module of its own, so that what
// versitygw needs is nobody else's.
package upstream
