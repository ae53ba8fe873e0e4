package dev

import (
	"context"
	"fmt"
	"net"

	"github.com/selvage-edge/selvage/control/state"
	"github.com/selvage-edge/selvage/edge"
	"github.com/selvage-edge/selvage/s3"
)

// s3KeyName names the access key that dev makes in its data directory. It stays
// there, so that clients have to be configured once.
const s3KeyName = "selvage dev"

// listenS3 opens the port of the S3 API; nil if none is asked for.
func (s *server) listenS3() (net.Listener, error) {
	if s.options.S3 == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", s.options.S3)
	if err != nil {
		return nil, fmt.Errorf("%w; end the program that uses the port or choose another with --s3", err)
	}
	return l, nil
}

// announceS3 prints what a client of the S3 API needs.
func (s *server) announceS3(ctx context.Context, l net.Listener) error {
	id, secret, err := s.s3Key(ctx)
	if err != nil {
		return err
	}
	scheme := "http"
	if s.options.HTTPS {
		scheme = "https"
	}
	fmt.Fprintf(s.options.Stdout, "S3 API on %s://%s\n  access key ID      %s\n  secret access key  %s\n", scheme, l.Addr(), id, secret)
	return nil
}

func (s *server) s3Key(ctx context.Context) (id, secret string, err error) {
	keys := s.platform.Stores.Keys
	list, err := keys.List(ctx)
	if err != nil {
		return "", "", err
	}
	for _, k := range list {
		if k.Name == s3KeyName {
			secret, err = keys.Secret(ctx, k.ID)
			return k.ID, secret, err
		}
	}
	made, _, err := keys.Create(ctx, state.AccessKey{Name: s3KeyName, Write: true, Admin: true})
	if err != nil {
		return "", "", err
	}
	secret, err = keys.Secret(ctx, made.ID)
	return made.ID, secret, err
}

// s3Request prints a request to the S3 API as one to a Worker.
func (s *server) s3Request(r s3.Record) {
	s.requests()(edge.Record{Method: r.Method, Path: r.Path, Status: r.Status, Duration: r.Duration, Aborted: r.Aborted})
}
