// Package poll waits in tests for what happens on its own: a process that ends,
// a row that is written after an answer.
package poll

import (
	"testing"
	"time"
)

// Patience is how long Until waits. It bounds a failing test and is no claim
// about speed: a busy machine may need most of it.
const Patience = time.Minute

// Until asks ok until it says yes, and ends the test if it never does. what
// completes "never happened: ".
func Until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	if !Within(Patience, ok) {
		t.Fatalf("never happened: %s", what)
	}
}

// Within asks ok until it says yes or patience is over, and tells which. It
// asks at least once, then after pauses that grow from 1 to 50 ms.
func Within(patience time.Duration, ok func() bool) bool {
	deadline := time.Now().Add(patience)
	for pause := time.Millisecond; !ok(); pause = min(2*pause, 50*time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(pause)
	}
	return true
}
