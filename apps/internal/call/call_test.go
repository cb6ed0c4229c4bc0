package call

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func serving(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

func TestACallTakesTheHeadersOfTheTraceAndTheForwardedOnesAlong(t *testing.T) {
	received := http.Header{
		"Traceparent": {"00-4bf9-00f0-01"}, "X-Request-Id": {"5c1f"}, "Qa": {"canary-test"}, "Cookie": {"a=1"},
		"User-Agent": {"Firefox"}, "Accept": {"text/html"},
	}
	for name, test := range map[string]struct {
		forwarded []string
		want      string
	}{
		"none forwarded": {nil, " web-api"},
		"one forwarded":  {[]string{"qa"}, "canary-test web-api"},
		"the user agent": {[]string{"user-agent"}, " Firefox"},
	} {
		var got http.Header
		address := serving(t, func(answer http.ResponseWriter, request *http.Request) {
			got = request.Header
			fmt.Fprint(answer, "{}")
		})
		err := New("web-api", time.Second, test.forwarded).Get(context.Background(), received, address, &struct{}{})
		if err != nil {
			t.Fatal(err)
		}
		if sent := got.Get("qa") + " " + got.Get("user-agent"); sent != test.want {
			t.Errorf("%s: got %q", name, sent)
		}
		if got.Get("traceparent") != "00-4bf9-00f0-01" || got.Get("x-request-id") != "5c1f" || got.Get("cookie") != "" {
			t.Errorf("%s: got %v", name, got)
		}
		if got.Get("accept") != "application/json" {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

func TestAPostSendsItsContentAsJSON(t *testing.T) {
	var got string
	address := serving(t, func(answer http.ResponseWriter, request *http.Request) {
		content, _ := io.ReadAll(request.Body)
		got = request.Method + " " + request.Header.Get("content-type") + " " + string(content)
		answer.WriteHeader(http.StatusCreated)
		fmt.Fprint(answer, `{"id": "a"}`)
	})
	var stored map[string]string
	err := New("", time.Second, nil).Post(context.Background(), nil, address, map[string]int{"n": 1}, &stored)
	if err != nil || stored["id"] != "a" || got != `POST application/json {"n":1}` {
		t.Errorf("%v: sent %s, received %v", err, got, stored)
	}
}

func TestACallThatFailsSaysWhy(t *testing.T) {
	closed := httptest.NewServer(nil)
	closed.Close()
	answers := func(status int, content string) string {
		return serving(t, func(answer http.ResponseWriter, _ *http.Request) {
			answer.Header().Set("location", "/elsewhere")
			answer.WriteHeader(status)
			fmt.Fprint(answer, content)
		})
	}
	hangs := serving(t, func(_ http.ResponseWriter, request *http.Request) { <-request.Context().Done() })
	for want, address := range map[string]string{
		"connection refused":                       closed.URL,
		"answered 503 Service Unavailable":         answers(503, "no healthy upstream"),
		`"no healthy upstream"`:                    answers(503, "no healthy upstream"),
		"answered 302 Found":                       answers(302, ""),
		"the answer is not the expected JSON":      answers(200, "<html>"),
		"cannot unmarshal object into Go value":    answers(200, "{}"),
		"the answer is larger than 4194304 bytes":  answers(200, "["+strings.Repeat(" ", answerBytes)+"]"),
		"Client.Timeout exceeded while awaiting h": hangs,
	} {
		timeout := time.Minute
		if address == hangs {
			timeout = 50 * time.Millisecond
		}
		var list []string
		err := New("", timeout, nil).Get(context.Background(), nil, address, &list)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("expected %q, got %v", want, err)
		}
	}
}

func TestACallEndsWhenTheCallerGivesUp(t *testing.T) {
	called := make(chan struct{})
	address := serving(t, func(_ http.ResponseWriter, request *http.Request) {
		close(called)
		<-request.Context().Done()
	})
	ctx, giveUp := context.WithCancel(context.Background())
	go func() {
		<-called
		giveUp()
	}()
	if err := New("", time.Minute, nil).Get(ctx, nil, address, &struct{}{}); err == nil || ctx.Err() == nil {
		t.Errorf("got %v", err)
	}
}
