package service

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"istio-canary/apps/internal/trace"
)

const (
	bodyBytes    = 64 << 10 // limit of a request's body
	callerGaveUp = 499      // the status that proxies log when the caller gave up
)

// WriteJSON answers with the content as JSON, without a line end.
func WriteJSON(answer http.ResponseWriter, status int, content any) {
	text, err := json.Marshal(content)
	if err != nil {
		http.Error(answer, err.Error(), http.StatusInternalServerError)
		return
	}
	answer.Header().Set("content-type", "application/json")
	answer.WriteHeader(status)
	_, _ = answer.Write(text) // fails only when the caller has gone
}

// WriteError answers with {"error": reason}.
func WriteError(answer http.ResponseWriter, status int, reason string) {
	WriteJSON(answer, status, map[string]string{"error": reason})
}

// ServeHTTP answers /health itself, and logs all other requests.
func (a *App) ServeHTTP(answer http.ResponseWriter, request *http.Request) {
	inner := a.withoutPrefix(request)
	if inner.URL.Path == "/health" {
		WriteJSON(answer, http.StatusOK, map[string]string{"status": "UP"})
		return
	}
	began := time.Now()
	recorded := &recorder{ResponseWriter: answer}
	a.answer(recorded, inner)
	a.logRequest(request, recorded.statusOf(request), time.Since(began))
}

func (a *App) answer(answer http.ResponseWriter, request *http.Request) {
	if !a.readBody(answer, request) {
		return
	}
	select {
	case <-time.After(a.delay):
	case <-request.Context().Done():
		return
	}
	if a.failing.Next() {
		WriteError(answer, http.StatusServiceUnavailable, "failed as -fail-percent asks for")
		return
	}
	a.handler.ServeHTTP(answer, request)
}

func (a *App) withoutPrefix(request *http.Request) *http.Request {
	inner := new(http.Request)
	*inner = *request
	inner.URL = new(url.URL)
	*inner.URL = *request.URL
	inner.URL.Path = a.prefix.removedFrom(request.URL.Path)
	if request.URL.RawPath != "" { // it has an encoded slash, for example, which separates nothing
		inner.URL.RawPath = a.prefix.removedFrom(request.URL.RawPath)
		if decoded, err := url.PathUnescape(inner.URL.RawPath); err == nil {
			inner.URL.Path = decoded
		}
	}
	return inner
}

// readBody reads the whole body, so that no handler waits for a slow caller. It returns false after an error's answer.
func (a *App) readBody(answer http.ResponseWriter, request *http.Request) bool {
	if request.ContentLength == 0 {
		return true
	}
	connection := http.NewResponseController(answer)
	// A test of a handler has no connection: its body is only limited in size.
	_ = connection.SetReadDeadline(time.Now().Add(a.bodyTime))
	body, err := io.ReadAll(http.MaxBytesReader(answer, request.Body, bodyBytes))
	if err == nil {
		_ = connection.SetReadDeadline(time.Time{})
		request.Body = io.NopCloser(bytes.NewReader(body))
		return true
	}
	answer.Header().Set("connection", "close") // the rest of the body is still on its way
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		WriteError(answer, http.StatusRequestEntityTooLarge, "the body is larger than 64 KiB")
	} else {
		WriteError(answer, http.StatusBadRequest, "the body did not arrive: "+err.Error())
	}
	return false
}

func (a *App) logRequest(request *http.Request, status int, duration time.Duration) {
	attributes := []slog.Attr{
		slog.String("method", request.Method),
		slog.String("path", request.URL.Path),
		slog.Int("status", status),
		slog.Float64("duration_ms", float64(duration.Microseconds())/1000),
	}
	a.Log.LogAttrs(request.Context(), slog.LevelInfo, "request", append(attributes, ids(request.Header)...)...)
}

// LogFailure logs what failed while a request with the `received` headers was answered.
func (t Tools) LogFailure(ctx context.Context, message string, err error, received http.Header) {
	attributes := append([]slog.Attr{slog.String("error", err.Error())}, ids(received)...)
	t.Log.LogAttrs(ctx, slog.LevelWarn, message, attributes...)
}

// ids returns the ids by which other logs and traces name the request, as far as it has them.
func ids(header http.Header) []slog.Attr {
	var attributes []slog.Attr
	if id := trace.ID(header); id != "" {
		attributes = append(attributes, slog.String("trace_id", id))
	}
	if id := header.Get("x-request-id"); id != "" { // the one in Istio's access logs
		attributes = append(attributes, slog.String("request_id", id))
	}
	return attributes
}

// recorder remembers the status that was answered.
type recorder struct {
	http.ResponseWriter
	status int // 0: not answered yet
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(content []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(content)
}

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *recorder) statusOf(request *http.Request) int {
	switch {
	case r.status != 0:
		return r.status
	case request.Context().Err() != nil:
		return callerGaveUp
	default:
		return http.StatusOK
	}
}
