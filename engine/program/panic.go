package program

import (
	"fmt"
	"net/http"
	"runtime/debug"
)

// protect calls f and makes an error of its panic.
func protect(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler {
				err = http.ErrAbortHandler
				return
			}
			err = &panicError{value: p, stack: string(debug.Stack())}
		}
	}()
	return f()
}

// panicError is a recovered panic.
type panicError struct {
	value any
	stack string
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v\n%s", e.value, e.stack) }
