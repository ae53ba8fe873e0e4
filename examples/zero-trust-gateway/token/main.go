// Command token prints a JSON Web Token for the gateway, as its issuer would
// make one. The flags also make tokens that the gateway must refuse.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// devSecret is the key in the gateway's .dev.vars.
const devSecret = "development-only-secret-do-not-deploy-0123456789"

func main() {
	sub := flag.String("sub", "alice", "the `user` the token is for")
	role := flag.String("role", "user", "the user's `role`")
	iss := flag.String("iss", "https://issuer.example", "the `issuer`")
	aud := flag.String("aud", "https://api.example", "the `audience`")
	ttl := flag.Duration("ttl", time.Hour, "how long the token is valid; a negative `duration` makes an expired one")
	alg := flag.String("alg", "HS256", "the `algorithm`: HS256, HS384, HS512 or none")
	secret := flag.String("secret", cmp.Or(os.Getenv("JWT_SECRET"), devSecret), "the signing `key`; default $JWT_SECRET, or the development key")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "token: unexpected argument %q\n", flag.Arg(0))
		os.Exit(2)
	}

	token, err := sign(*alg, *secret, jwt.MapClaims{
		"iss":  *iss,
		"aud":  *aud,
		"sub":  *sub,
		"role": *role,
		"iat":  time.Now().Add(min(0, *ttl)).Unix(),
		"exp":  time.Now().Add(*ttl).Unix(),
	})
	if err != nil {
		fmt.Fprintf(os.Stderr, "token: %v\n", err)
		os.Exit(1)
	}
	fmt.Println(token)
}

func sign(alg, secret string, claims jwt.MapClaims) (string, error) {
	var key any = []byte(secret)
	switch alg {
	case "HS256", "HS384", "HS512":
	case "none":
		key = jwt.UnsafeAllowNoneSignatureType
	default:
		return "", fmt.Errorf("algorithm %q is not HS256, HS384, HS512 or none", alg)
	}
	return jwt.NewWithClaims(jwt.GetSigningMethod(alg), claims).SignedString(key)
}
