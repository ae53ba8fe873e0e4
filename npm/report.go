package npm

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// quartersFrom is the size in bytes from which lines tell each quarter of a
// download; smaller ones are over before the first.
const quartersFrom = 10e6

// report shows the progress of a download.
type report struct {
	p    Package
	bar  *progressbar.ProgressBar
	w    io.Writer
	size int64

	start   time.Time
	read    int64
	quarter int64
}

func (p Package) report(registry string, size int64, w io.Writer) *report {
	r := &report{p: p, w: w, size: size, start: time.Now()}
	if r.w == nil {
		r.w = io.Discard
	}
	if f, ok := r.w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		r.bar = progressbar.NewOptions64(size,
			progressbar.OptionSetWriter(f),
			progressbar.OptionSetDescription(p.Title+" "+p.Version),
			progressbar.OptionShowBytes(true),
			progressbar.OptionSetWidth(30),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionClearOnFinish(),
		)
		return r
	}
	fmt.Fprintf(r.w, "downloading %s %s (%s) from %s\n", p.Title, p.Version, bytes(size), registry)
	return r
}

// Write counts p; it never fails, so that a closed terminal stops no download.
func (r *report) Write(p []byte) (int, error) {
	r.read += int64(len(p))
	if r.bar != nil {
		_ = r.bar.Add(len(p))
	} else if r.size > quartersFrom && r.read*4/r.size > r.quarter {
		r.quarter = r.read * 4 / r.size
		fmt.Fprintf(r.w, "downloading %s: %d%% of %s\n", r.p.Title, r.quarter*25, bytes(r.size))
	}
	return len(p), nil
}

func (r *report) done() {
	if r.bar != nil {
		_ = r.bar.Finish()
	}
	fmt.Fprintf(r.w, "%s %s is ready (%s in %s)\n", r.p.Title, r.p.Version, bytes(r.read), time.Since(r.start).Round(100*time.Millisecond))
}

// bytes is n as people read it.
func bytes(n int64) string {
	switch {
	case n < 0:
		return "unknown size"
	case n < 1e6:
		return fmt.Sprintf("%.0f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%.0f MB", float64(n)/1e6)
}
