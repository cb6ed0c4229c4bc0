// Package servicetest has what the tests of the sample services share.
package servicetest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"istio-canary/apps/internal/service"
)

// Configured returns the service with these flags.
func Configured(t *testing.T, of service.Service, flags ...string) *service.App {
	t.Helper()
	app, err := of.Configure(flags, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return app
}

// Started serves the handler until the test ends, and returns its address.
func Started(t *testing.T, handler http.Handler) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// Ask returns the answer to a request with headers such as "qa: canary-test".
func Ask(handler http.Handler, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	request := httptest.NewRequest(method, path, strings.NewReader(body))
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		request.Header.Add(name, value)
	}
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, request)
	return answer
}
