package ratelimit

import (
	"io"
	"net/http"
	"strconv"
	"time"
)

// maxKeyBytes bounds what one call may make us read.
const maxKeyBytes = 1 << 20

// service answers the calls of the module in binding.go for one namespace:
// POST /?limit=N&period=SECONDS with the key as body gives 204 when the use is
// within the limit and 429 when it is not.
type service struct {
	store     *Store
	namespace string
}

func (s service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxKeyBytes))
	if err != nil {
		http.Error(w, "the key is too long: at most 1 MiB", http.StatusRequestEntityTooLarge)
		return
	}
	query := r.URL.Query()
	limit, errLimit := strconv.ParseFloat(query.Get("limit"), 64)
	period, errPeriod := strconv.Atoi(query.Get("period"))
	if errLimit != nil || errPeriod != nil {
		http.Error(w, "limit and period must be numbers", http.StatusBadRequest)
		return
	}
	ok, err := s.store.take(s.namespace, string(key), limit, time.Duration(period)*time.Second)
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadRequest)
	case ok:
		w.WriteHeader(http.StatusNoContent)
	default:
		w.WriteHeader(http.StatusTooManyRequests)
	}
}
