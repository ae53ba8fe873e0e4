package gateway

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"maps"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const secret = "development-only-secret-do-not-deploy-0123456789"

// keys are those of other issuers, which the gateway knows by their public halves.
type keys struct {
	rsa *rsa.PrivateKey
	ec  *ecdsa.PrivateKey
}

func newKeys(t *testing.T) keys {
	t.Helper()
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return keys{r, e}
}

// flag is the command line flag that gives the public keys to the gateway.
func (k keys) flag(t *testing.T) string {
	t.Helper()
	point, err := k.ec.PublicKey.Bytes() // 4, x, y
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	text, err := json.Marshal([]map[string]string{
		{"kid": "rsa", "alg": "RS256", "kty": "RSA", "n": b64(k.rsa.N.Bytes()), "e": b64(big.NewInt(int64(k.rsa.E)).Bytes())},
		{"kid": "ec", "alg": "ES256", "kty": "EC", "crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:])},
	})
	if err != nil {
		t.Fatal(err)
	}
	return "JWT_PUBLIC_KEYS:" + string(text)
}

// token signs the usual claims with changes; a nil value takes a claim away.
func token(t *testing.T, method jwt.SigningMethod, key any, header, changes map[string]any) string {
	t.Helper()
	claims := jwt.MapClaims{
		"iss": "https://issuer.example", "aud": "https://api.example", "sub": "alice", "role": "admin",
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	}
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	tok := jwt.NewWithClaims(method, claims)
	maps.Copy(tok.Header, header)
	text, err := tok.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// checkTokens holds a gateway against the table of tokens.
func checkTokens(t *testing.T, gateway string, k keys) {
	type m = map[string]any
	hs := func(header, changes m) string {
		return "Bearer " + token(t, jwt.SigningMethodHS256, []byte(secret), header, changes)
	}
	at := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	good := hs(nil, nil)
	parts := strings.Split(good, ".")
	rsaDER, err := x509.MarshalPKIXPublicKey(&k.rsa.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	rsaPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: rsaDER})
	list, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{}).SigningString()
	if err != nil {
		t.Fatal(err)
	}
	list = strings.Split(list, ".")[0] + "." + base64.RawURLEncoding.EncodeToString([]byte("[]"))
	listSignature, err := jwt.SigningMethodHS256.Sign(list, []byte(secret))
	if err != nil {
		t.Fatal(err)
	}

	for _, test := range []struct {
		name          string
		authorization string
		code          string // of the refusal; "" is accepted
	}{
		{"HS256", good, ""},
		{"scheme in lower case", "b" + good[1:], ""},
		{"audience in a list", hs(nil, m{"aud": []string{"other", "https://api.example"}}), ""},
		{"RS256 by kid", "Bearer " + token(t, jwt.SigningMethodRS256, k.rsa, m{"kid": "rsa"}, nil), ""},
		{"ES256 by kid", "Bearer " + token(t, jwt.SigningMethodES256, k.ec, m{"kid": "ec"}, nil), ""},
		{"expired within the leeway", hs(nil, m{"exp": at(-2 * time.Second)}), ""},
		{"not valid before a moment within the leeway", hs(nil, m{"nbf": at(2 * time.Second)}), ""},

		{"none at all", "", "missing_token"},
		{"another scheme", "Basic YTpi", "malformed_token"},
		{"two parts", "Bearer a.b", "malformed_token"},
		{"no JSON inside", "Bearer a.b.c", "malformed_token"},
		{"claims in a list", "Bearer " + list + "." + base64.RawURLEncoding.EncodeToString(listSignature), "malformed_token"},
		{"extensions that must be understood", hs(m{"crit": []string{"x"}, "x": 1}, nil), "malformed_token"},

		{"alg none", "Bearer " + token(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil, nil), "unsupported_alg"},
		{"another HMAC", "Bearer " + token(t, jwt.SigningMethodHS512, []byte(secret), nil, nil), "unsupported_alg"},
		{"an RSA public key as HMAC secret", "Bearer " + token(t, jwt.SigningMethodHS256, rsaPEM, m{"kid": "rsa"}, nil), "unsupported_alg"},
		{"another algorithm than the key's", "Bearer " + token(t, jwt.SigningMethodRS256, k.rsa, m{"kid": "ec"}, nil), "unsupported_alg"},
		{"a kid nobody knows", hs(m{"kid": "mine"}, nil), "unknown_key"},
		{"another secret", "Bearer " + token(t, jwt.SigningMethodHS256, []byte(strings.Repeat("x", 32)), nil, nil), "bad_signature"},
		{"another RSA key", "Bearer " + token(t, jwt.SigningMethodRS256, newKeys(t).rsa, m{"kid": "rsa"}, nil), "bad_signature"},
		{"another's claims", parts[0] + "." + strings.Split(hs(nil, m{"sub": "root"}), ".")[1] + "." + parts[2], "bad_signature"},
		{"no signature", parts[0] + "." + parts[1] + ".", "bad_signature"},

		{"expired", hs(nil, m{"exp": at(-time.Minute)}), "token_expired"},
		{"no exp", hs(nil, m{"exp": nil}), "invalid_claims"},
		{"exp as text", hs(nil, m{"exp": "9999999999"}), "invalid_claims"},
		{"not yet valid", hs(nil, m{"nbf": at(time.Minute)}), "token_not_yet_valid"},
		{"issued in the future", hs(nil, m{"iat": at(time.Minute)}), "token_not_yet_valid"},
		{"wrong audience", hs(nil, m{"aud": "https://other.example"}), "wrong_audience"},
		{"no audience", hs(nil, m{"aud": nil}), "wrong_audience"},
		{"wrong issuer", hs(nil, m{"iss": "https://evil.example"}), "wrong_issuer"},
		{"no issuer", hs(nil, m{"iss": nil}), "wrong_issuer"},
		{"no sub", hs(nil, m{"sub": nil}), "invalid_claims"},
		{"empty sub", hs(nil, m{"sub": ""}), "invalid_claims"},
		{"a line break in sub", hs(nil, m{"sub": "alice\nX-User-Role: root"}), "invalid_claims"},
		{"a role that is no word", hs(nil, m{"role": "admin, root"}), "invalid_claims"},
	} {
		t.Run(test.name, func(t *testing.T) {
			req, err := http.NewRequest("GET", gateway+"/api/v1/users/me", nil)
			if err != nil {
				t.Fatal(err)
			}
			if test.authorization != "" {
				req.Header.Set("Authorization", test.authorization)
			}
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			if test.code == "" {
				if err := matchText(`{"id": "alice", "role": "admin"}`, string(text)); resp.StatusCode != 200 || err != nil {
					t.Errorf("status %d, %v", resp.StatusCode, err)
				}
				return
			}
			if err := matchText(`{"error": "…", "code": "`+test.code+`", "requestId": "…"}`, string(text)); resp.StatusCode != 401 || err != nil {
				t.Errorf("status %d, %v", resp.StatusCode, err)
			}
			if challenge := resp.Header.Get("WWW-Authenticate"); !strings.HasPrefix(challenge, "Bearer ") {
				t.Errorf("WWW-Authenticate is %q", challenge)
			}
		})
	}
}

func TestTokens(t *testing.T) {
	k := newKeys(t)
	checkTokens(t, start(t, ".", "--var", k.flag(t)).url, k)
}

// TestTokensJose runs the same table against a copy of the gateway that
// verifies its tokens with the library jose: a project with node_modules, and a
// second opinion on the table.
func TestTokensJose(t *testing.T) {
	npm, err := exec.LookPath("npm")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("npm is missing; CI has to install Node.js")
		}
		t.Skip("npm is not installed, so jose cannot be fetched")
	}
	dir := t.TempDir()
	for _, part := range []string{"src", "users", "orders", "billing"} {
		if err := os.CopyFS(filepath.Join(dir, part), os.DirFS(part)); err != nil {
			t.Fatal(err)
		}
	}
	for from, to := range map[string]string{
		"wrangler.jsonc":                  "wrangler.jsonc",
		".dev.vars":                       ".dev.vars",
		"testdata/jose/jwt.ts":            "src/jwt.ts",
		"testdata/jose/package.json":      "package.json",
		"testdata/jose/package-lock.json": "package-lock.json",
	} {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, to), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	install := exec.Command(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	k := newKeys(t)
	checkTokens(t, start(t, dir, "--var", k.flag(t)).url, k)
}
