package control

import (
	"context"
	"errors"
	"net/http"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/config"
)

// StartupError is a version's own mistake that keeps it from starting: an
// exception at the top level of its script, say. Its text may have a stack.
type StartupError struct{ Err error }

// Error implements error.
func (e StartupError) Error() string { return e.Err.Error() }

// Unwrap returns the error behind.
func (e StartupError) Unwrap() error { return e.Err }

// deploy makes a deployment: its versions are started, then store puts it on
// disk and thereby in force. It returns when no request reaches anything else.
// The lock of the Worker is held.
//
// An error means that nothing has changed: the client sees why, and the
// deployment in force stays.
func (s *server) deploy(r *http.Request, worker string, shares []config.Share, store func() error) error {
	if s.Prepare == nil {
		return store()
	}
	finish, err := s.Prepare(context.WithoutCancel(r.Context()), worker, shares)
	if err == nil {
		defer finish()
		return store()
	}
	const text = "nothing was deployed and nothing has changed, because the version does not start: %v"
	var own StartupError
	if errors.As(err, &own) {
		return refused(text, err)
	}
	s.Log.Error("deployment not made", "worker", worker, "err", err)
	return api.Errorf(http.StatusServiceUnavailable, 10013, text, err)
}
