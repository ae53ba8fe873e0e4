package r2

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"
	"net/http"
)

// Checksums are checksums of a content. A nil field is none.
type Checksums struct {
	MD5    []byte `json:"md5,omitempty"`
	SHA1   []byte `json:"sha1,omitempty"`
	SHA256 []byte `json:"sha256,omitempty"`
	SHA384 []byte `json:"sha384,omitempty"`
	SHA512 []byte `json:"sha512,omitempty"`
	// The CRCs are big-endian.
	CRC32     []byte `json:"crc32,omitempty"`
	CRC32C    []byte `json:"crc32c,omitempty"`
	CRC64NVME []byte `json:"crc64nvme,omitempty"`
}

// nvme is the polynomial of CRC-64/NVME, reversed.
//
// Source: NVM Express NVM Command Set Specification, "64b CRC Polynomials"
const nvmePolynomial = 0x9a6c9329ac4bc9b5

var (
	nvme       = crc64.MakeTable(nvmePolynomial)
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// algorithm is one kind of checksum.
type algorithm struct {
	name  string
	size  int
	new   func() hash.Hash
	field func(*Checksums) *[]byte
}

// algorithms begin with MD5, and go on in the order of the numbers that workerd
// has for them.
var algorithms = []algorithm{
	{"MD5", md5.Size, md5.New, func(c *Checksums) *[]byte { return &c.MD5 }},
	{"SHA-1", sha1.Size, sha1.New, func(c *Checksums) *[]byte { return &c.SHA1 }},
	{"SHA-256", sha256.Size, sha256.New, func(c *Checksums) *[]byte { return &c.SHA256 }},
	{"SHA-384", sha512.Size384, sha512.New384, func(c *Checksums) *[]byte { return &c.SHA384 }},
	{"SHA-512", sha512.Size, sha512.New, func(c *Checksums) *[]byte { return &c.SHA512 }},
	{"CRC32", crc32.Size, func() hash.Hash { return crc32.NewIEEE() }, func(c *Checksums) *[]byte { return &c.CRC32 }},
	{"CRC32C", crc32.Size, func() hash.Hash { return crc32.New(castagnoli) }, func(c *Checksums) *[]byte { return &c.CRC32C }},
	{"CRC64NVME", crc64.Size, func() hash.Hash { return nvmeHash{crc64.New(nvme)} }, func(c *Checksums) *[]byte { return &c.CRC64NVME }},
}

// nvmeHash gives the sum of a 64-bit CRC as big-endian bytes, as the others do.
type nvmeHash struct{ hash.Hash64 }

func (h nvmeHash) Sum(b []byte) []byte { return binary.BigEndian.AppendUint64(b, h.Sum64()) }

func (c *Checksums) check() error {
	for _, a := range algorithms {
		if v := *a.field(c); len(v) > 0 && len(v) != a.size {
			return invalid("The %s checksum has %d bytes; it must have %d.", a.name, len(v), a.size)
		}
	}
	return nil
}

// digester computes the MD5 of what is written to it, and every checksum that is
// expected.
type digester struct {
	io.Writer
	want     Checksums
	trailing func() (Checksums, error)
	hashes   []hash.Hash // as algorithms; nil where none is wanted
}

func newDigester(want Checksums, trailing func() (Checksums, error)) *digester {
	d := &digester{want: want, trailing: trailing, hashes: make([]hash.Hash, len(algorithms))}
	var all []io.Writer
	for i, a := range algorithms {
		if i == 0 || *a.field(&want) != nil {
			d.hashes[i] = a.new()
			all = append(all, d.hashes[i])
		}
	}
	d.Writer = all[0]
	if len(all) > 1 {
		d.Writer = io.MultiWriter(all...)
	}
	return d
}

// sums are the checksums of what was written, or ErrBadDigest if one is not what
// was expected.
func (d *digester) sums() (c Checksums, err error) {
	var late Checksums
	if d.trailing != nil {
		if late, err = d.trailing(); err != nil {
			return c, err
		}
	}
	for i, a := range algorithms {
		if d.hashes[i] == nil {
			continue
		}
		got := d.hashes[i].Sum(nil)
		want := *a.field(&d.want)
		if len(want) == 0 {
			want = *a.field(&late)
		}
		if len(want) > 0 && !bytes.Equal(want, got) {
			return c, &Error{http.StatusBadRequest, ErrBadDigest.Code, fmt.Sprintf(
				"The %[1]s checksum you specified did not match what we received.\nYou provided a %[1]s checksum with value: %[2]x\nActual %[1]s was: %[3]x", a.name, want, got)}
		}
		*a.field(&c) = got
	}
	return c, nil
}

// CheckSums compares data with checksums that it must have, as [Bucket.Put] does.
func CheckSums(data []byte, want Checksums, trailing func() (Checksums, error)) error {
	d := newDigester(want, trailing)
	d.Write(data) // hashes do not fail
	_, err := d.sums()
	return err
}

// asked is the name of the first checksum that is to be computed, "" if there is
// none.
func (c Checksums) asked() string {
	for _, a := range algorithms {
		if v := *a.field(&c); v != nil && len(v) == 0 {
			return a.name
		}
	}
	return ""
}

// with is c with one more checksum, by its name, to be computed.
func (c Checksums) with(name string) Checksums {
	for _, a := range algorithms {
		if v := a.field(&c); a.name == name && *v == nil {
			*v = []byte{}
		}
	}
	return c
}

// agrees reports whether what both have is the same.
func (c Checksums) agrees(other Checksums) bool {
	for _, a := range algorithms {
		mine, theirs := *a.field(&c), *a.field(&other)
		if mine != nil && theirs != nil && !bytes.Equal(mine, theirs) {
			return false
		}
	}
	return true
}
