package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"istio-canary/apps/internal/faults"
)

const (
	headerBytes = 64 << 10 // limit of a request's headers; Envoy's is 60 KiB
	bodyBytes   = 64 << 20 // limit of a request's body
)

// received is a request as it arrived. Header names are in lower case; the values of a name keep their order.
type received struct {
	Version   string              `json:"version"`
	Pod       string              `json:"pod"`
	Method    string              `json:"method"`
	URI       string              `json:"uri"`
	Path      string              `json:"path"`
	Query     string              `json:"query"`
	Host      string              `json:"host"`
	Protocol  string              `json:"protocol"`
	Headers   map[string][]string `json:"headers"`
	BodyBytes int64               `json:"bodyBytes"`
	Status    int                 `json:"status"` // of the answer; of a chain, unless the next service fails
}

type echo struct {
	service string
	version string
	pod     string
	next    string       // address that a request to /chain leads to; empty: none
	pace    *pace        // of the answers to requests without x-echo-delay
	failing faults.Share // of the requests without x-echo-status
	fails   int          // status of the answers that fail by that share
	memory  *memory

	mutex    sync.Mutex
	failures map[string]int // failures answered so far, by key
}

func newEcho(version string) *echo {
	pod, _ := os.Hostname() // empty when the host name is unknown
	fails := http.StatusServiceUnavailable
	return &echo{version: version, pod: pod, pace: newPace(), fails: fails, memory: newMemory(remembered), failures: map[string]int{}}
}

// ServeHTTP does not use http.ServeMux, which redirects paths such as //a: tests send such paths.
func (e *echo) ServeHTTP(answer http.ResponseWriter, request *http.Request) {
	switch request.URL.Path {
	case "/_health":
		return
	case "/_seen":
		query := request.URL.Query()
		if query.Has("prefix") {
			writeJSON(answer, http.StatusOK, e.memory.seenBy(query.Get("prefix")))
		} else {
			writeJSON(answer, http.StatusOK, e.memory.seen(query.Get("key")))
		}
	case "/_call":
		serveCall(answer, request)
	default:
		if isGRPC(request) {
			e.answerGRPC(answer, request)
			return
		}
		e.answer(answer, request)
	}
}

func (e *echo) answer(answer http.ResponseWriter, request *http.Request) {
	order, err := parseOrder(request.Header)
	if err != nil {
		http.Error(answer, err.Error(), http.StatusBadRequest)
		return
	}
	size, err := io.Copy(io.Discard, http.MaxBytesReader(answer, request.Body, bodyBytes))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		http.Error(answer, "the body is larger than 64 MiB", http.StatusRequestEntityTooLarge)
		return
	}
	if err != nil {
		http.Error(answer, err.Error(), http.StatusBadRequest)
		return
	}
	seen, isWaiting := e.obey(answer, request, order, size)
	if !isWaiting {
		return
	}
	if request.URL.Path == "/chain" {
		e.answerChain(answer, request, seen)
		return
	}
	writeJSON(answer, seen.Status, seen)
}

// obey remembers the request, waits as long as the order or the flags say, and sets the answer's headers. It returns
// what was received, with the status to answer with, and whether the caller still waits for the answer.
func (e *echo) obey(answer http.ResponseWriter, request *http.Request, order order, size int64) (received, bool) {
	seen := e.received(request, size)
	seen.Status = e.status(order)
	e.memory.remember(request.Header.Get("x-echo-key"), seen)
	select {
	case <-time.After(e.pace.wait(order.delay)):
	case <-request.Context().Done():
		return seen, false
	}
	for _, header := range order.headers {
		answer.Header().Add(header[0], header[1])
	}
	return seen, true
}

func (e *echo) received(request *http.Request, size int64) received {
	path, query, _ := strings.Cut(request.RequestURI, "?")
	headers := make(map[string][]string, len(request.Header))
	for name, values := range request.Header {
		headers[strings.ToLower(name)] = values
	}
	return received{
		Version: e.version, Pod: e.pod, Method: request.Method, URI: request.RequestURI, Path: path, Query: query,
		Host: request.Host, Protocol: request.Proto, Headers: headers, BodyBytes: size,
	}
}

// status returns the status to answer with, and counts the failures of a key that fails a limited number of times.
func (e *echo) status(order order) int {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	switch {
	case order.status == 0 && e.failing.Next():
		return e.fails
	case order.status == 0:
		return http.StatusOK
	case order.key == "":
		return order.status
	case e.failures[order.key] >= order.times:
		return http.StatusOK
	}
	if _, known := e.failures[order.key]; !known && len(e.failures) >= remembered {
		clear(e.failures)
	}
	e.failures[order.key]++
	return order.status
}

func writeJSON(answer http.ResponseWriter, status int, content any) {
	answer.Header().Set("content-type", "application/json")
	answer.WriteHeader(status)
	_ = json.NewEncoder(answer).Encode(content) // fails only when the caller has gone
}
