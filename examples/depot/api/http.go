package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"
)

const (
	bodyLimit = 16 << 10
	deadline  = 10 * time.Second
)

// Handler answers for a store: GET and POST /items, POST /movements, and the two that a cluster asks.
func Handler(store *Store) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 4*time.Second)
		defer cancel()
		if err := store.Ready(ctx); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]string{"version": version})
	})
	mux.HandleFunc("GET /items", timed(func(w http.ResponseWriter, r *http.Request) error {
		items, err := store.Items(r.Context())
		if err != nil {
			return err
		}
		return answer(w, http.StatusOK, map[string]any{"items": items})
	}))
	mux.HandleFunc("POST /items", timed(func(w http.ResponseWriter, r *http.Request) error {
		var item Item
		if err := read(w, r, &item); err != nil {
			return err
		}
		item.Quantity = 0
		if err := store.Add(r.Context(), item); err != nil {
			return err
		}
		return answer(w, http.StatusCreated, item)
	}))
	mux.HandleFunc("POST /movements", timed(func(w http.ResponseWriter, r *http.Request) error {
		var movement struct {
			SKU      string `json:"sku"`
			Quantity int64  `json:"quantity"`
			Reason   string `json:"reason"`
		}
		if err := read(w, r, &movement); err != nil {
			return err
		}
		item, err := store.Move(r.Context(), movement.SKU, movement.Quantity, movement.Reason)
		if err != nil {
			return err
		}
		return answer(w, http.StatusOK, item)
	}))
	return mux
}

var errUnreadable = errors.New("the request cannot be read")

func read(w http.ResponseWriter, r *http.Request, into any) error {
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, bodyLimit))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("%w: %s", errUnreadable, err)
	}
	return nil
}

func answer(w http.ResponseWriter, status int, value any) error {
	w.Header().Set("content-type", "application/json")
	w.WriteHeader(status)
	return json.NewEncoder(w).Encode(value)
}

// timed gives a request its deadline, and turns what failed into a status and a sentence.
func timed(handle func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), deadline)
		defer cancel()
		err := handle(w, r.WithContext(ctx))
		if err == nil {
			return
		}
		status := statusOf(err)
		text := err.Error()
		if status == http.StatusServiceUnavailable {
			slog.Error("a request failed", "path", r.URL.Path, "error", text)
			text = "the depot cannot answer now"
		}
		_ = answer(w, status, map[string]string{"error": text})
	}
}

func statusOf(err error) int {
	switch {
	case errors.Is(err, ErrUnknownItem):
		return http.StatusNotFound
	case errors.Is(err, ErrItemExists), errors.Is(err, ErrNotEnough):
		return http.StatusConflict
	case errors.Is(err, ErrInvalid), errors.Is(err, errUnreadable):
		return http.StatusBadRequest
	}
	return http.StatusServiceUnavailable
}
