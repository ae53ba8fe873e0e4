package compress

import "net/http"

// encoded decides about a body that its handler has encoded.
func (w *writer) encoded(h http.Header) {
	w.length = contentLength(h)
	from, ok := codingNamed(first(h, "Content-Encoding"))
	if !ok || len(h["Content-Encoding"]) > 1 || from != gzip && from != brotli {
		w.begin(plain)
		return
	}
	vary(h)
	if w.length == 0 || parseAccept(w.accept)[from] > 0 {
		w.begin(plain)
		return
	}
	w.from, w.state = from, held // the first byte says how much memory it takes
	if w.head {
		w.decode(h, nil)
	}
}

// unencoded decides about a body that nobody has encoded.
func (w *writer) unencoded(h http.Header) {
	length := contentLength(h)
	types, typed := h["Content-Type"]
	switch {
	case w.ranged, !coded(w.status), length >= 0 && length < least[gzip], typed && (len(types) == 0 || !listed(types[0])):
		w.begin(plain)
		return
	case length < 0 || !typed:
		w.length = length
		// Trailers that the handler has announced are not to be there when the
		// header goes out, so it goes at once.
		if h["Trailer"] == nil {
			w.state = held
			return
		}
		if !typed {
			w.begin(plain)
			return
		}
	}
	w.length = length
	w.compress(h, length)
}

// compress begins a response that is compressed if the client takes it.
func (w *writer) compress(h http.Header, length int64) {
	vary(h)
	w.coding = parseAccept(w.accept).best()
	if w.coding == identity || length >= 0 && length < least[w.coding] {
		w.begin(plain)
		return
	}
	w.begin(encodes)
}

// settle decides about a held response, with the beginning of its body. all
// says that this is the whole of it.
func (w *writer) settle(beginning []byte, all bool) {
	h := w.Header()
	if w.from != identity {
		w.decode(h, beginning)
		return
	}
	_, typed := h["Content-Type"]
	length := w.length
	if length < 0 && all && (len(beginning) > 0 || !w.head) { // what a handler would write is not always known for HEAD
		length = int64(len(beginning))
	}
	guess := ""
	if !typed && len(beginning) > 0 {
		guess = http.DetectContentType(beginning)
	}
	if length >= 0 && length < least[gzip] || !typed && !listed(guess) {
		w.begin(plain)
		return
	}
	if !typed {
		h["Content-Type"] = []string{guess}
	}
	w.compress(h, length)
}
