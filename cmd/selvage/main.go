// Command selvage runs Workers on your own machines.
package main

func main() {}
