//go:build !linux

package sandbox

const (
	supported = false
	self      = ""
)

// Probe says which measures this machine has: confinement needs Linux.
func Probe() []Measure {
	return []Measure{{Name: "sandbox", Detail: "cells are confined on Linux only; run Workers you trust"}}
}
