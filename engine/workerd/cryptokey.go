package workerd

import "fmt"

// CryptoKeyValue is a CryptoKey that user code can use but, unless Extractable,
// not read.
//
// Source: https://github.com/cloudflare/workerd/blob/main/src/workerd/server/workerd.capnp (CryptoKey)
type CryptoKeyValue struct {
	// Format is the field of workerd's union: base64 (a raw key), pkcs8 or spki
	// (both PEM), or jwk (JSON).
	Format string
	// Key is the key in that format.
	Key string
	// Algorithm is JSON: a name or the object that crypto.subtle.importKey takes.
	Algorithm string
	// Usages are the words of Web Crypto: encrypt, decrypt, sign, verify,
	// deriveKey, deriveBits, wrapKey, unwrapKey.
	Usages      []string
	Extractable bool
}

func (v CryptoKeyValue) encode(e *encoder) {
	e.WriteString("cryptoKey = (" + v.Format + " = ")
	e.private(v.Key)
	e.WriteString(", algorithm = (json = ")
	e.quote(v.Algorithm)
	fmt.Fprintf(e, "), extractable = %t, usages = [", v.Extractable)
	for i, u := range v.Usages {
		if i > 0 {
			e.WriteString(", ")
		}
		e.WriteString(u)
	}
	e.WriteString("])")
}
