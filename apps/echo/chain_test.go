package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// started serves an echo with these flags, and returns its address for -next.
func started(t *testing.T, words ...string) string {
	t.Helper()
	return serving(t, configured(t, words...).ServeHTTP)
}

func serving(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL + "/chain"
}

func route(hops []hop) string {
	var words []string
	for _, hop := range hops {
		words = append(words, hop.Service+" "+hop.Version+" "+hop.Path)
	}
	return strings.Join(words, ", ")
}

func TestAChainAnswersWithItsHopsInOrder(t *testing.T) {
	c := started(t, "-service=c", "-version=v3")
	b := started(t, "-service=b", "-version=v2", "-next="+c)
	a := configured(t, "-service=a", "-version=v1", "-next="+b)
	answer := ask(t, a, "POST", "/chain?q=1")
	hops := body[[]hop](t, answer)
	if got := route(hops); answer.Code != 200 || got != "a v1 /chain, b v2 /chain, c v3 /chain" {
		t.Errorf("%d with %s", answer.Code, got)
	}
	if hops[0].Pod != a.pod || strings.Contains(answer.Body.String(), "failure") {
		t.Errorf("got %+v", hops)
	}
}

func TestOnlyTheHeadersOfTracingArePassedOn(t *testing.T) {
	passed := map[string][]string{
		"Traceparent": {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}, "Tracestate": {"a=1", "b=2"},
		"Baggage": {"user=anna", "plan=free"}, "X-Request-Id": {"5c1f"}, "B3": {"80f1-e457-1"}, "X-B3-Traceid": {"80f1"},
		"X-B3-Spanid": {"e457"}, "X-B3-Parentspanid": {"05e3"}, "X-B3-Sampled": {"1"}, "X-B3-Flags": {"0"},
	}
	var got http.Header
	next := serving(t, func(answer http.ResponseWriter, request *http.Request) {
		got = request.Header
		writeJSON(answer, http.StatusOK, []hop{{Service: "b"}})
	})
	headers := []string{
		"authorization: Bearer a", "cookie: a=1", "user-agent: test", "accept-encoding: gzip", "x-echo-delay: 1ms",
		"x-forwarded-for: 10.0.0.1", "x-b3-other: a",
	}
	for name, values := range passed {
		for _, value := range values {
			headers = append(headers, strings.ToLower(name)+": "+value)
		}
	}
	ask(t, configured(t, "-next="+next), "GET", "/chain", headers...)
	if fmt.Sprint(got) != fmt.Sprint(http.Header(passed)) {
		t.Errorf("got %v", got)
	}
	ask(t, configured(t, "-next="+next), "GET", "/chain")
	if len(got) != 0 {
		t.Errorf("no header may be added: %v", got)
	}
}

func TestAFailureOfTheNextServiceIsAnsweredWithItsReason(t *testing.T) {
	closed := httptest.NewServer(nil)
	closed.Close()
	text := func(status int, content string) string {
		return serving(t, func(answer http.ResponseWriter, _ *http.Request) {
			answer.Header().Set("location", "/elsewhere")
			answer.WriteHeader(status)
			fmt.Fprint(answer, content)
		})
	}
	for name, want := range map[string]struct {
		next   string
		status int
		reason string
		hops   int
	}{
		"unreachable":       {closed.URL, 502, "connection refused", 1},
		"external":          {"http://8.8.8.8/chain", 502, "8.8.8.8 is not a local address", 1},
		"failing":           {started(t, "-fail-percent=100"), 503, "answered 503 Service Unavailable", 2},
		"its next fails":    {started(t, "-next="+started(t, "-fail-percent=100")), 503, "answered 503 Service Unavailable", 3},
		"its next is gone":  {started(t, "-next="+closed.URL), 502, "answered 502 Bad Gateway", 2},
		"a proxy's failure": {text(503, "no healthy upstream"), 503, `without hops: "no healthy upstream"`, 1},
		"not found":         {text(404, ""), 404, "answered 404 Not Found", 1},
		"redirected":        {text(302, ""), 302, "answered 302 Found", 1},
		"not a chain":       {text(200, `{"version": "v1"}`), 502, "answered 200 OK without hops", 1},
		"no hops":           {text(200, "null"), 502, "answered 200 OK without hops", 1},
		"cut off":           {text(200, strings.Repeat(" ", chainBytes)+`[{}]`), 502, "answered 200 OK without hops", 1},
	} {
		answer := ask(t, configured(t, "-next="+want.next), "GET", "/chain")
		hops := body[[]hop](t, answer)
		if answer.Code != want.status || len(hops) != want.hops || !strings.Contains(hops[0].Failure, want.reason) {
			t.Errorf("%s: %d with %+v", name, answer.Code, hops)
		}
	}
}

func TestAServiceThatIsToFailDoesNotCallTheNextOne(t *testing.T) {
	next := serving(t, func(http.ResponseWriter, *http.Request) { t.Error("the next service was called") })
	answer := ask(t, configured(t, "-service=a", "-next="+next), "GET", "/chain", "x-echo-status: 503")
	if hops := body[[]hop](t, answer); answer.Code != 503 || len(hops) != 1 {
		t.Errorf("%d with %+v", answer.Code, hops)
	}
}

func TestAChainGivesUpOnANextServiceThatDoesNotAnswer(t *testing.T) {
	defer func(before time.Duration) { chainClient.Timeout = before }(chainClient.Timeout)
	chainClient.Timeout = 50 * time.Millisecond
	answer := ask(t, configured(t, "-next="+started(t, "-delay=1h")), "GET", "/chain")
	if hops := body[[]hop](t, answer); answer.Code != 502 || !strings.Contains(hops[0].Failure, "Timeout exceeded") {
		t.Errorf("%d with %+v", answer.Code, hops)
	}
}

func TestTheNextCallEndsWhenTheCallerGivesUp(t *testing.T) {
	called, ended := make(chan struct{}), make(chan struct{})
	last := serving(t, func(_ http.ResponseWriter, request *http.Request) {
		close(called)
		<-request.Context().Done()
		close(ended)
	})
	first := started(t, "-next="+started(t, "-next="+last))
	ctx, giveUp := context.WithCancel(context.Background())
	request, _ := http.NewRequestWithContext(ctx, "GET", first, nil)
	go func() {
		if response, err := http.DefaultClient.Do(request); err == nil {
			response.Body.Close()
		}
	}()
	soon(t, called, "the call of the last service")
	giveUp()
	soon(t, ended, "the end of the call")
}

func soon(t *testing.T, happened <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-happened:
	case <-time.After(10 * time.Second):
		t.Fatalf("%s did not happen", what)
	}
}
