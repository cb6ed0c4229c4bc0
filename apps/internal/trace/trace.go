// Package trace has the headers by which a service's calls belong to its caller's trace.
package trace

import (
	"net/http"
	"strings"
)

// Headers are what a service passes on to the services that it calls. See Istio: "Distributed Tracing Overview";
// W3C: "Trace Context" and "Baggage".
var Headers = []string{
	"traceparent", "tracestate", "baggage", "x-request-id",
	"b3", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "x-b3-flags",
}

// PassedOn returns those of the received headers that a call takes along: the trace's, and the further ones by name.
func PassedOn(received http.Header, further ...string) http.Header {
	header := http.Header{}
	for _, names := range [][]string{Headers, further} {
		for _, name := range names {
			if values := received.Values(name); len(values) > 0 {
				header[http.CanonicalHeaderKey(name)] = append([]string{}, values...)
			}
		}
	}
	return header
}

// ID returns the trace's id; empty if the headers have none.
func ID(header http.Header) string {
	if parts := strings.Split(header.Get("traceparent"), "-"); len(parts) >= 4 {
		return parts[1]
	}
	if id := header.Get("x-b3-traceid"); id != "" {
		return id
	}
	id, _, found := strings.Cut(header.Get("b3"), "-")
	if !found { // "b3: 0" only says that the trace is not sampled
		return ""
	}
	return id
}
