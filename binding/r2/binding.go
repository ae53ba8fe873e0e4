package r2

import (
	"errors"
	"fmt"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/engine/workerd"
)

// Kind is the binding "r2_bucket". Its settings are
//
//	{"bucket_name": "<name>", "jurisdiction": "<ignored>"}
type Kind struct {
	store *Store
	port  string // of public hosts, as in URLs
}

// Kinds returns the kind, not open yet.
func Kinds() []binding.Kind { return []binding.Kind{&Kind{}} }

// Type implements binding.Kind.
func (k *Kind) Type() string { return "r2_bucket" }

// name reads the settings.
func name(b config.Binding) (string, error) {
	var settings struct {
		Name string `json:"bucket_name"`
	}
	if err := b.Decode(&settings); err != nil {
		return "", err
	}
	if err := checkBoundName(settings.Name); err != nil {
		return "", fmt.Errorf("binding %s (r2_bucket): bucket_name: %w", b.Name, err)
	}
	return settings.Name, nil
}

// Validate implements binding.Kind.
func (k *Kind) Validate(b config.Binding) error {
	_, err := name(b)
	return err
}

// Mount implements binding.Kind.
func (k *Kind) Mount(b config.Binding, at binding.Site) (binding.Mount, error) {
	bucket, err := k.bucket(b)
	if err != nil {
		return binding.Mount{}, err
	}
	worker := ""
	if at.Version != nil {
		worker = at.Version.Worker
	}
	return binding.Mount{Value: workerd.R2Value(at.Service), Handler: bucket.Handler(worker)}, nil
}

// bucket finds the bucket of a binding.
func (k *Kind) bucket(b config.Binding) (*Bucket, error) {
	of, err := name(b)
	if err != nil {
		return nil, err
	}
	bucket, err := k.store.Bucket(of)
	if errors.Is(err, ErrNoSuchBucket) {
		return nil, fmt.Errorf("binding %s (r2_bucket): there is no R2 bucket named %q; create it with `wrangler r2 bucket create %[2]s`", b.Name, of)
	}
	if err != nil {
		return nil, fmt.Errorf("binding %s (r2_bucket): %w", b.Name, err)
	}
	return bucket, nil
}
