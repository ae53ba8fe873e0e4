package http1

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// FuzzH2: net/http is told the same frames, but for what judge changes, and
// however the bytes come.
func FuzzH2(f *testing.F) {
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for i, h := range request("/%") {
		if i%2 == 0 {
			enc.WriteField(hpack.HeaderField{Name: h, Value: request("/%")[i+1]})
		}
	}
	var frames bytes.Buffer
	framer := http2.NewFramer(&frames, nil)
	framer.WriteSettings(settings(4, 1, 4, 2)...)
	framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes()[:9], PadLength: 3, Priority: http2.PriorityParam{Weight: 1}})
	framer.WriteContinuation(1, true, block.Bytes()[9:])
	framer.WriteData(1, true, []byte("body"))
	f.Add(frames.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		data = append([]byte(preface), data...)
		out, err := io.ReadAll(newH2(bytes.NewReader(data)))
		if again, err2 := io.ReadAll(iotest.OneByteReader(newH2(iotest.OneByteReader(bytes.NewReader(data))))); !bytes.Equal(out, again) || (err == nil) != (err2 == nil) {
			t.Fatalf("%q, %v, byte by byte %q, %v", out, err, again, err2)
		}
		told, said := told(out), said(data)
		for i := range said {
			if i < len(told) && told[i] == "end" && strings.HasPrefix(said[i], "reset") {
				break // after an invalid field x/net does not look at the others
			}
			if i == len(told) || told[i] != said[i] && said[i] != "end" {
				t.Fatalf("frame %d is %q, was %q, then %v", i, told[i:], said[i:], err)
			}
		}
	})
}

// told lists the frames that net/http understands, until one that ends the
// connection.
func told(stream []byte) []string {
	return heard(stream, func(b *block) []hpack.HeaderField { return b.fields })
}

// said lists the frames as they are to be told.
func said(stream []byte) []string { return heard(stream, (*block).judge) }

func heard(stream []byte, judge func(*block) []hpack.HeaderField) (all []string) {
	f := http2.NewFramer(nil, bytes.NewReader(stream[min(len(stream), len(preface)):]))
	f.SetMaxReadFrameSize(maxFrame)
	f.ReadMetaHeaders = hpack.NewDecoder(headerTable, nil)
	f.MaxHeaderListSize = maxFields
	for {
		frame, err := f.ReadFrame()
		if reset, ok := err.(http2.StreamError); ok {
			all = append(all, fmt.Sprint("reset ", reset.StreamID))
			continue
		}
		if err != nil {
			return append(all, "end")
		}
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			b := block{fields: frame.Fields}
			for _, field := range b.fields {
				b.size += int(field.Size())
			}
			if frame.Truncated {
				b.size = maxFields + 1
			}
			if fields := judge(&b); slices.Equal(fields, malformed) {
				all = append(all, fmt.Sprint("reset ", frame.StreamID))
			} else {
				all = append(all, fmt.Sprintf("%d %v %v %q", frame.StreamID, frame.StreamEnded(), frame.Priority, fields))
			}
		case *http2.DataFrame:
			all = append(all, fmt.Sprintf("%d %v data %q", frame.StreamID, frame.StreamEnded(), frame.Data()))
		case *http2.SettingsFrame:
			last := map[http2.SettingID]uint32{}
			if err := frame.ForeachSetting(func(s http2.Setting) error {
				last[s.ID] = s.Val
				return s.Valid()
			}); err != nil {
				return append(all, "end")
			}
			all = append(all, fmt.Sprint("settings ", frame.IsAck(), last))
		default:
			all = append(all, frame.Header().String())
		}
	}
}
