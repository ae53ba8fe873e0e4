package r2

import (
	"bytes"
	"fmt"
	"io"
	"testing"
)

// BenchmarkPut stores objects as many Workers at once do: small ones are rows, the
// others files.
func BenchmarkPut(b *testing.B) {
	for _, size := range []int{4 << 10, InlineBytes, InlineBytes + 1, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			bucket := newFixture(b).bucket("b")
			content := random(1, size)
			b.SetBytes(int64(size))
			b.SetParallelism(16)
			b.RunParallel(func(p *testing.PB) {
				key := newContentID().version()
				for p.Next() {
					if _, err := bucket.Put(ctx, key, bytes.NewReader(append(content[8:], key[:8]...)), PutOptions{}); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

func BenchmarkGet(b *testing.B) {
	for _, size := range []int{4 << 10, 1 << 20, 32 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			f := newFixture(b)
			bucket := f.bucket("b")
			f.put(bucket, "k", random(1, size), PutOptions{})
			b.SetBytes(int64(size))
			for b.Loop() {
				r, err := bucket.Get(ctx, "k", GetOptions{})
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, r); err != nil {
					b.Fatal(err)
				}
				r.Close()
			}
		})
	}
}

// BenchmarkList reads a page of a thousand among a million keys.
func BenchmarkList(b *testing.B) {
	f := newFixture(b)
	bucket := f.bucket("b")
	for first := 0; first < 1_000_000; first += 10_000 {
		batch := f.db.Batch()
		for i := first; i < first+10_000; i++ {
			o := &Object{Key: fmt.Sprintf("folder/%06d.jpg", i), ETag: "25f9e794323b453885f5181f1b624d0b", content: newContentID(), StorageClass: Standard, Checksums: Checksums{MD5: make([]byte, 16)}}
			data, err := encodeObject(o)
			f.ok(err)
			batch.Set(objectKey(bucket.number, o.Key), data)
		}
		f.ok(batch.Commit())
		batch.Close()
	}
	for b.Loop() {
		if _, err := bucket.List(ctx, ListOptions{StartAfter: "folder/500000"}); err != nil {
			b.Fatal(err)
		}
	}
}
