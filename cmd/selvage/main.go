// Command selvage runs Workers on your own machines.
package main

import "github.com/selvage-edge/selvage"

func main() { selvage.Main() }
