package sigv4

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"net/http"
	"strings"
)

const checksumPrefix = "X-Amz-Checksum-"

// checksums are the kinds of trailing checksum, by the end of their header's name.
//
// Source: Amazon S3 User Guide, "Checking object integrity"
var checksums = map[string]func() hash.Hash{
	"Crc32":     func() hash.Hash { return crc32.NewIEEE() },
	"Crc32c":    func() hash.Hash { return crc32.New(castagnoli) },
	"Crc64nvme": func() hash.Hash { return bigEndian{crc64.New(nvme)} },
	"Sha1":      sha1.New,
	"Sha256":    sha256.New,
}

// nvme is the polynomial of CRC-64/NVME, reversed.
//
// Source: NVM Express NVM Command Set Specification, "64b CRC Polynomials"
var (
	nvme       = crc64.MakeTable(0x9a6c9329ac4bc9b5)
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// bigEndian gives the sum of a 64-bit CRC as bytes in the order of the others.
type bigEndian struct{ hash.Hash64 }

func (h bigEndian) Sum(b []byte) []byte { return binary.BigEndian.AppendUint64(b, h.Sum64()) }

// check is a checksum that a trailing header will have.
type check struct {
	header string // in canonical form
	hash   hash.Hash
}

// checksOf are the checksums among the announced trailing headers.
func checksOf(announced http.Header) (list []check, err error) {
	for name := range announced {
		kind, ok := strings.CutPrefix(name, checksumPrefix)
		if !ok {
			continue
		}
		fresh := checksums[kind]
		if fresh == nil {
			return nil, &Error{"InvalidRequest", "The value specified in the x-amz-trailer header is not supported: " + strings.ToLower(name), http.StatusBadRequest}
		}
		list = append(list, check{name, fresh()})
	}
	return list, nil
}

// verify compares the checksum with that of the trailing headers.
func (c check) verify(trailer http.Header) error {
	want, err := base64.StdEncoding.DecodeString(trailer.Get(c.header))
	name := strings.ToLower(c.header)
	if err != nil || len(want) != c.hash.Size() {
		return &Error{"InvalidRequest", "Value for " + name + " trailing header is invalid.", http.StatusBadRequest}
	}
	if string(c.hash.Sum(nil)) != string(want) {
		kind := strings.ToUpper(strings.TrimPrefix(c.header, checksumPrefix))
		return &Error{"BadDigest", "The " + kind + " you specified did not match the calculated checksum.", http.StatusBadRequest}
	}
	return nil
}
