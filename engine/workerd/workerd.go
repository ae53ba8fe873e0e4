// Package workerd runs one workerd process: it finds the pinned binary, writes
// the configuration, starts and watches the process. It knows workerd and
// nothing of Selvage's products.
package workerd
