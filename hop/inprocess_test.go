package hop

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestDirect(t *testing.T) {
	refused := errors.New("refused")
	d := Direct(func(w http.ResponseWriter, r *http.Request) error {
		switch r.URL.Path {
		case "/refuse":
			return refused
		case "/abort":
			io.WriteString(w, "half")
			panic(http.ErrAbortHandler)
		case "/panic":
			panic("boom")
		case "/empty":
			return nil
		case "/trailer":
			w.Header().Set("Trailer", "A")
			io.WriteString(w, "x")
			w.Header().Set("A", "1")
			w.Header().Set(http.TrailerPrefix+"B", "2")
			return nil
		}
		body, err := io.ReadAll(r.Body)
		w.Header().Set("Seen", fmt.Sprint(r.Method, " ", r.Host, " ", r.RequestURI, " ", r.ContentLength, " ", err))
		w.WriteHeader(http.StatusTeapot)
		w.Write(body)
		return nil
	})
	client := &http.Client{Transport: d}
	res, err := client.Post("http://api/a%20b?c=d", "text/plain", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if res.StatusCode != http.StatusTeapot || string(body) != "hello" || err != nil {
		t.Errorf("%d %q %v", res.StatusCode, body, err)
	}
	if seen := res.Header.Get("Seen"); seen != "POST api /a%20b?c=d 5 <nil>" {
		t.Errorf("handler saw %q", seen)
	}
	if _, err := client.Get("http://api/refuse"); !errors.Is(err, refused) {
		t.Errorf("refused: %v", err)
	}
	if _, err := client.Get("http://api/panic"); err == nil || !strings.Contains(err.Error(), "boom") {
		t.Errorf("panic: %v", err)
	}
	if res, err = client.Get("http://api/abort"); err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(res.Body); string(body) != "half" || err == nil {
		t.Errorf("aborted body: %q %v", body, err)
	}
	if res, err = client.Get("http://api/empty"); err != nil || res.StatusCode != http.StatusOK {
		t.Errorf("empty: %v %v", res, err)
	}
	if res, err = client.Get("http://api/trailer"); err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, res.Body)
	if res.Trailer.Get("A") != "1" || res.Trailer.Get("B") != "2" {
		t.Errorf("trailers: %v", res.Trailer)
	}
}

// A handler that waits for its client sees it leave: by the request's context,
// or by closing the body.
func TestDirectCancellation(t *testing.T) {
	left := make(chan error, 1)
	d := Direct(func(w http.ResponseWriter, r *http.Request) error {
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		left <- r.Context().Err()
		return nil
	})
	req, _ := http.NewRequest(http.MethodGet, "http://x/", nil)
	res, err := d.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if err := <-left; err == nil {
		t.Error("the handler was not told")
	}
}

func TestDirectUpgrade(t *testing.T) {
	d := Direct(func(w http.ResponseWriter, r *http.Request) error {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return err
		}
		defer conn.Close()
		rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		rw.Flush()
		line, err := rw.ReadString('\n')
		if err == nil {
			rw.WriteString("you said " + line)
			rw.Flush()
		}
		return nil
	})
	req, _ := http.NewRequest(http.MethodGet, "http://x/", nil)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "echo")
	res, err := d.RoundTrip(req)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(res, err)
	}
	conn := res.Body.(io.ReadWriteCloser)
	io.WriteString(conn, "hi\n")
	if got, _ := io.ReadAll(conn); string(got) != "you said hi\n" {
		t.Errorf("%q", got)
	}
}
