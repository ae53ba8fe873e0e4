// Command selvage runs Workers on your own machines.
package main

import "github.com/selvage-edge/selvage/cli"

func main() { cli.Main() }
