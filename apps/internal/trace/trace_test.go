package trace

import (
	"fmt"
	"net/http"
	"testing"
)

func headers(pairs ...string) http.Header {
	header := http.Header{}
	for index := 0; index < len(pairs); index += 2 {
		header.Add(pairs[index], pairs[index+1])
	}
	return header
}

func TestOnlyTheHeadersOfTheTraceAndThoseNamedArePassedOn(t *testing.T) {
	received := headers(
		"baggage", "user=anna", "baggage", "plan=free", "X-Request-ID", "5c1f",
		"authorization", "Bearer a", "cookie", "a=1", "qa", "canary-test", "user-agent", "Firefox",
	)
	for name, test := range map[string]struct {
		further []string
		want    http.Header
	}{
		"none named": {nil, headers("baggage", "user=anna", "baggage", "plan=free", "x-request-id", "5c1f")},
		"two named": {
			[]string{"qa", "USER-AGENT", "absent"},
			headers(
				"baggage", "user=anna", "baggage", "plan=free", "x-request-id", "5c1f",
				"qa", "canary-test", "user-agent", "Firefox",
			),
		},
		"one of the trace named": {
			[]string{"baggage"}, headers("baggage", "user=anna", "baggage", "plan=free", "x-request-id", "5c1f"),
		},
	} {
		if got := PassedOn(received, test.further...); fmt.Sprint(got) != fmt.Sprint(test.want) {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

func TestTheTracesIDIsReadFromEachFormat(t *testing.T) {
	for want, header := range map[string]http.Header{
		"4bf9": headers("traceparent", "00-4bf9-00f0-01", "x-b3-traceid", "80f1"),
		"80f1": headers("x-b3-traceid", "80f1", "b3", "90f2-e457-1"),
		"90f2": headers("traceparent", "invalid", "b3", "90f2-e457-1"),
		"":     headers("b3", "0", "x-request-id", "5c1f"),
	} {
		if got := ID(header); got != want {
			t.Errorf("%v: got %q", header, got)
		}
	}
}
