// Command token prints a JSON Web Token for the gateway, valid for an hour.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

func main() {
	sub := flag.String("sub", "alice", "the `user` the token is for")
	flag.Parse()
	secret := cmp.Or(os.Getenv("JWT_SECRET"), "development-only-secret-do-not-deploy")
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"sub": *sub, "exp": time.Now().Add(time.Hour).Unix(),
	}).SignedString([]byte(secret))
	if err != nil {
		fmt.Fprintln(os.Stderr, "token:", err)
		os.Exit(1)
	}
	fmt.Println(token)
}
