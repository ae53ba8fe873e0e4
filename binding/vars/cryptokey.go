package vars

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"slices"

	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/engine/workerd"
)

// usages are the words that Web Crypto allows.
var usages = []string{"encrypt", "decrypt", "sign", "verify", "deriveKey", "deriveBits", "wrapKey", "unwrapKey"}

// cryptoKey is a key that the Worker gets as a CryptoKey and cannot export.
//
// Source: https://developers.cloudflare.com/api/resources/workers/subresources/scripts/ (secret_key)
func cryptoKey(b config.Binding, _ *config.Version) (workerd.Value, error) {
	var s struct {
		Format    string          `json:"format"`
		Algorithm json.RawMessage `json:"algorithm"`
		Usages    []string        `json:"usages"`
		KeyBase64 string          `json:"key_base64"`
		KeyJWK    json.RawMessage `json:"key_jwk"`
	}
	if err := b.Decode(&s); err != nil {
		return nil, err
	}
	if len(s.Algorithm) == 0 {
		return nil, fmt.Errorf("binding %s (secret_key): algorithm is missing", b.Name)
	}
	for _, u := range s.Usages {
		if !slices.Contains(usages, u) {
			return nil, fmt.Errorf("binding %s (secret_key): usage %q is not one of %v", b.Name, u, usages)
		}
	}
	key := workerd.CryptoKeyValue{Algorithm: string(s.Algorithm), Usages: s.Usages}
	if s.Format == "jwk" {
		if len(s.KeyJWK) == 0 {
			return nil, fmt.Errorf("binding %s (secret_key): format jwk needs key_jwk", b.Name)
		}
		key.Format, key.Key = "jwk", string(s.KeyJWK)
		return key, nil
	}
	der, err := base64.StdEncoding.DecodeString(s.KeyBase64)
	if err != nil || len(der) == 0 {
		return nil, fmt.Errorf("binding %s (secret_key): format %s needs key_base64, a key in Base64", b.Name, s.Format)
	}
	switch s.Format {
	case "raw":
		key.Format, key.Key = "base64", s.KeyBase64
	case "pkcs8":
		key.Format, key.Key = "pkcs8", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	case "spki":
		key.Format, key.Key = "spki", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	default:
		return nil, fmt.Errorf("binding %s (secret_key): format %q is not raw, pkcs8, spki or jwk", b.Name, s.Format)
	}
	return key, nil
}
