package bundle

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/go-sourcemap/sourcemap"
)

// SourceMapper finds the place in the source for a place in a bundle. Maps are
// parsed when first needed. It is safe for concurrent use, and a nil one maps
// nothing.
type SourceMapper struct {
	modules map[string]func() *sourcemap.Consumer
}

// SourceMapper returns the mapper for the modules of r. It does not keep r.
func (r *Result) SourceMapper() *SourceMapper {
	return NewSourceMapper(r.maps)
}

// NewSourceMapper takes the source maps by the names of the modules they
// belong to. A map that cannot be parsed maps nothing.
func NewSourceMapper(maps map[string][]byte) *SourceMapper {
	s := &SourceMapper{modules: map[string]func() *sourcemap.Consumer{}}
	for name, data := range maps {
		if len(data) == 0 {
			continue
		}
		s.modules[name] = sync.OnceValue(func() *sourcemap.Consumer {
			c, err := sourcemap.Parse("", data)
			if err != nil {
				return nil
			}
			return c
		})
	}
	return s
}

// Position is a place in a file; Line and Column count from 1, as in V8's
// stack traces.
type Position struct {
	File         string
	Line, Column int
}

// Map returns the original place of a place in module, whose name may have
// "./" or "file:///" in front.
func (s *SourceMapper) Map(module string, line, column int) (Position, bool) {
	if s == nil {
		return Position{}, false
	}
	module = strings.TrimPrefix(strings.TrimPrefix(module, "file:///"), "./")
	consumer := s.modules[module]
	if consumer == nil || consumer() == nil || line < 1 || column < 1 {
		return Position{}, false
	}
	file, _, l, c, ok := consumer().Source(line, column-1)
	if !ok || file == "" {
		return Position{}, false
	}
	return Position{file, l, c + 1}, true
}

// frame is a place as stack traces and V8's messages write it.
var frame = regexp.MustCompile(`([^\s():]+|file:///[^\s():]+):(\d+):(\d+)`)

// MapStack rewrites every place in text that lies in one of the modules:
// "index.js:210:15" becomes "src/index.ts:12:9". All else stays.
func (s *SourceMapper) MapStack(text string) string {
	if s == nil || len(s.modules) == 0 {
		return text
	}
	return frame.ReplaceAllStringFunc(text, func(place string) string {
		m := frame.FindStringSubmatch(place)
		line, err1 := strconv.Atoi(m[2])
		column, err2 := strconv.Atoi(m[3])
		if err1 != nil || err2 != nil {
			return place
		}
		p, ok := s.Map(m[1], line, column)
		if !ok {
			return place
		}
		return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
	})
}

const mapComment = "//# sourceMappingURL="

// linkedMap returns the source map that the last lines of a script name, nil
// without one.
func linkedMap(file string, script []byte) []byte {
	at := bytes.LastIndex(script, []byte(mapComment))
	if at < 0 {
		return nil
	}
	ref, _, _ := strings.Cut(string(script[at+len(mapComment):]), "\n")
	ref = strings.TrimSpace(ref)
	if strings.HasPrefix(ref, "data:") {
		_, encoded, ok := strings.Cut(ref, ";base64,")
		data, err := base64.StdEncoding.DecodeString(encoded)
		if !ok || err != nil {
			return nil
		}
		return data
	}
	name, err := url.PathUnescape(ref)
	if err != nil || strings.Contains(name, "://") || filepath.IsAbs(name) {
		return nil
	}
	data, err := os.ReadFile(filepath.Join(filepath.Dir(file), filepath.FromSlash(name)))
	if err != nil {
		return nil
	}
	return data
}
