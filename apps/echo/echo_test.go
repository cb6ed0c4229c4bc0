package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func ask(t *testing.T, handler http.Handler, method, uri string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	request := httptest.NewRequest(method, uri, nil)
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		request.Header.Add(name, value)
	}
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, request)
	return answer
}

func parse(server *echo, words ...string) error {
	flags := flag.NewFlagSet("echo", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	server.addFlags(flags)
	return flags.Parse(words)
}

func configured(t *testing.T, words ...string) *echo {
	t.Helper()
	server := newEcho("")
	if err := parse(server, words...); err != nil {
		t.Fatal(err)
	}
	return server
}

func body[T any](t *testing.T, answer *httptest.ResponseRecorder) T {
	t.Helper()
	var content T
	if err := json.Unmarshal(answer.Body.Bytes(), &content); err != nil {
		t.Fatalf("%v in %s", err, answer.Body)
	}
	return content
}

func TestAnswersWithWhatItReceived(t *testing.T) {
	answer := ask(t, newEcho("version-1"), "PUT", "http://shop.example.com//a/../b%20c?q=1&q=2", "X-Two: a", "x-two: b")
	got := body[received](t, answer)
	if got.Version != "version-1" || got.Method != "PUT" || got.Host != "shop.example.com" {
		t.Errorf("got %+v", got)
	}
	if got.Path != "http://shop.example.com//a/../b%20c" || got.Query != "q=1&q=2" {
		t.Errorf("the path must not be cleaned: %q %q", got.Path, got.Query)
	}
	if fmt.Sprint(got.Headers["x-two"]) != "[a b]" {
		t.Errorf("every value of a repeated header must be there: %v", got.Headers)
	}
}

func TestFailsForAKeyAsOftenAsAsked(t *testing.T) {
	server := newEcho("")
	for number, want := range []int{503, 503, 200, 200} {
		if got := ask(t, server, "GET", "/", "x-echo-status: 503 times=2 key=a").Code; got != want {
			t.Errorf("request %d was answered %d, not %d", number+1, got, want)
		}
	}
	if got := ask(t, server, "GET", "/", "x-echo-status: 503 times=2 key=b").Code; got != 503 {
		t.Errorf("each key has its own count, got %d", got)
	}
	if got := ask(t, server, "GET", "/", "x-echo-status: 418").Code; got != 418 {
		t.Errorf("without a key every answer fails, got %d", got)
	}
}

func TestRefusesInvalidOrders(t *testing.T) {
	for _, header := range []string{
		"x-echo-status: \u00a0",
		"x-echo-status: abc", "x-echo-status: 99", "x-echo-status: 503 times=2", "x-echo-status: 503 key=a",
		"x-echo-status: 503 after=2", "x-echo-delay: soon", "x-echo-header: color",
	} {
		if got := ask(t, newEcho(""), "GET", "/", header).Code; got != http.StatusBadRequest {
			t.Errorf("%q was answered %d", header, got)
		}
	}
}

func TestWaitsAndAddsHeadersOnRequest(t *testing.T) {
	began := time.Now()
	answer := ask(t, newEcho(""), "GET", "/", "x-echo-delay: 30ms", "x-echo-header: x-color: blue", "x-echo-header: x-color: red")
	if time.Since(began) < 30*time.Millisecond {
		t.Error("it did not wait")
	}
	if got := fmt.Sprint(answer.Header().Values("x-color")); got != "[blue red]" {
		t.Errorf("got %s", got)
	}
}

func TestWaitsAsItsFlagsSayUnlessTheRequestSaysOtherwise(t *testing.T) {
	for _, words := range [][]string{{"-delay=30ms"}, {"-cold=1h", "-cold-delay=30ms"}} {
		server := configured(t, words...)
		for header, want := range map[string]bool{"x-other: a": true, "x-echo-delay: 0s": false} {
			began := time.Now()
			ask(t, server, "GET", "/", header)
			if waited := time.Since(began) >= 30*time.Millisecond; waited != want {
				t.Errorf("%v, %s: waited: %t", words, header, waited)
			}
		}
	}
}

func TestWaitsUntilTheCallerGivesUp(t *testing.T) {
	for name, server := range map[string]*echo{"flag": configured(t, "-delay=1h"), "header": newEcho("")} {
		ctx, giveUp := context.WithCancel(context.Background())
		request := httptest.NewRequestWithContext(ctx, "GET", "/", nil)
		request.Header.Set("x-echo-key", "waiting")
		if name == "header" {
			request.Header.Set("x-echo-delay", "1h")
		}
		answer, ended := httptest.NewRecorder(), make(chan struct{})
		go func() {
			server.ServeHTTP(answer, request)
			close(ended)
		}()
		for len(server.memory.seen("waiting")) == 0 {
			time.Sleep(time.Millisecond)
		}
		giveUp()
		soon(t, ended, "the end of the request")
		if answer.Body.Len() != 0 {
			t.Errorf("%s: answered %s", name, answer.Body)
		}
	}
}

func TestFailsTheShareOfRequestsThatItsFlagSays(t *testing.T) {
	for _, percent := range []int{0, 1, 20, 33, 50, 99, 100} {
		server := configured(t, fmt.Sprintf("-fail-percent=%d", percent))
		failed := 0
		for number := 1; number <= 200; number++ {
			if ask(t, server, "GET", "/").Code == http.StatusServiceUnavailable {
				failed++
			}
			if want := number * percent / 100; failed != want {
				t.Fatalf("%d of the first %d requests failed with %d %%, not %d", failed, number, percent, want)
			}
		}
	}
}

func TestFailsWithTheStatusThatItsFlagSays(t *testing.T) {
	server := configured(t, "-fail-percent=50", "-fail-status=404")
	for number, want := range []int{200, 404, 200, 404} {
		if got := ask(t, server, "GET", "/").Code; got != want {
			t.Errorf("request %d was answered %d, not %d", number+1, got, want)
		}
	}
}

func TestARequestsStatusComesBeforeTheShareThatFails(t *testing.T) {
	server := configured(t, "-fail-percent=50")
	for number, want := range []int{200, 418, 503, 200, 418, 503} {
		var headers []string
		if want == 418 {
			headers = []string{"x-echo-status: 418"}
		}
		if got := ask(t, server, "GET", "/", headers...).Code; got != want {
			t.Errorf("request %d was answered %d, not %d", number+1, got, want)
		}
	}
}

func TestAProbeNeverFailsOrWaits(t *testing.T) {
	if got := ask(t, configured(t, "-fail-percent=100", "-delay=1h"), "GET", "/_health").Code; got != http.StatusOK {
		t.Errorf("answered %d", got)
	}
}

func TestRefusesInvalidFlags(t *testing.T) {
	for _, word := range []string{
		"-fail-percent=101", "-fail-percent=-1", "-fail-percent=20%", "-fail-status=200", "-fail-status=x",
		"-delay=soon", "-next=b.shop", "-next=b.shop:8080",
		"-next=https://b.shop", "-next=/chain", "-next=http://b shop",
	} {
		if err := parse(newEcho(""), word); err == nil {
			t.Errorf("%s was accepted", word)
		}
	}
}

func TestRemembersTheRequestsOfAKey(t *testing.T) {
	server := newEcho("version-2")
	ask(t, server, "GET", "/first", "x-echo-key: a")
	ask(t, server, "GET", "/second", "x-echo-key: a", "x-echo-status: 503")
	ask(t, server, "GET", "/other", "x-echo-key: b")
	seen := body[[]received](t, ask(t, server, "GET", "/_seen?key=a"))
	if len(seen) != 2 || seen[0].Path != "/first" || seen[1].Status != 503 {
		t.Errorf("got %+v", seen)
	}
	if all := body[map[string][]received](t, ask(t, server, "GET", "/_seen?prefix=")); len(all) != 2 || len(all["a"]) != 2 {
		t.Errorf("got %+v", all)
	}
	if answer := ask(t, server, "GET", "/_seen?key=c").Body.String(); answer != "[]\n" {
		t.Errorf("an unknown key has an empty list, got %s", answer)
	}
}

func TestForgetsTheOldestRequests(t *testing.T) {
	memory := newMemory(3)
	for number, key := range []string{"a", "b", "a", "c", "c", ""} {
		memory.remember(key, received{Status: number})
	}
	if got := memory.seenBy(""); len(got) != 2 || len(got["a"]) != 1 || got["a"][0].Status != 2 || len(got["c"]) != 2 {
		t.Errorf("got %v", got)
	}
}

func TestRefusesArgumentsThatWouldBeIgnored(t *testing.T) {
	for _, words := range [][]string{
		{"extra", "-delay=5s"}, {"-delay=-5s"}, {"-slow-percent=5"}, {"-cold=15s"}, {"-cold-delay=200ms"},
		{"-cold=-15s", "-cold-delay=200ms"}, {"-cold=15s", "-cold-delay=-200ms"},
	} {
		server := newEcho("")
		flags := flag.NewFlagSet("echo", flag.ContinueOnError)
		server.addFlags(flags)
		if err := flags.Parse(words); err != nil {
			t.Fatal(err)
		}
		if unusable(flags, server.pace, 0) == nil {
			t.Errorf("%v were accepted", words)
		}
	}
	flags := flag.NewFlagSet("echo", flag.ContinueOnError)
	if unusable(flags, newPace(), -1) == nil || unusable(flags, newPace(), 0) != nil {
		t.Error("-grace must not be negative")
	}
}

func TestAnAnswerThatIsTooLargeIsRefused(t *testing.T) {
	large := httptest.NewServer(http.HandlerFunc(func(answer http.ResponseWriter, _ *http.Request) {
		_, _ = io.Copy(answer, io.LimitReader(zeros{}, callBytes+1))
	}))
	defer large.Close()
	outgoing := fmt.Sprintf(`{"method":"GET","address":%q,"uri":"/"}`, large.Listener.Addr())
	answer := httptest.NewRecorder()
	newEcho("").ServeHTTP(answer, httptest.NewRequest("POST", "/_call", strings.NewReader(outgoing)))
	if answer.Code != http.StatusBadGateway || !strings.Contains(answer.Body.String(), "larger than 4 MiB") {
		t.Errorf("%d %.80s", answer.Code, answer.Body)
	}
}

func TestABodyThatIsTooLargeIsRefused(t *testing.T) {
	for size, want := range map[int64]int{bodyBytes: 200, bodyBytes + 1: 413} {
		answer := httptest.NewRecorder()
		newEcho("").ServeHTTP(answer, httptest.NewRequest("POST", "/", io.LimitReader(zeros{}, size)))
		if answer.Code != want {
			t.Errorf("%d bytes: %d", size, answer.Code)
		}
	}
}

type zeros struct{}

func (zeros) Read(into []byte) (int, error) { return len(into), nil }

func TestSendsACallExactlyAsGiven(t *testing.T) {
	upstream := httptest.NewServer(newEcho("upstream"))
	defer upstream.Close()
	outgoing, _ := json.Marshal(call{
		Method: "PATCH", Address: upstream.Listener.Addr().String(), URI: "//a/../b?", Host: "shop.example.com",
		Headers: [][2]string{{"x-two", "a"}, {"x-two", "b"}, {"x-echo-status", "418"}},
	})
	answer := httptest.NewRecorder()
	newEcho("").ServeHTTP(answer, httptest.NewRequest("POST", "/_call", strings.NewReader(string(outgoing))))
	result := body[callAnswer](t, answer)
	var seen received
	if err := json.Unmarshal([]byte(result.Body), &seen); err != nil {
		t.Fatal(err)
	}
	if result.Status != 418 || seen.URI != "//a/../b?" || seen.Host != "shop.example.com" || seen.Method != "PATCH" {
		t.Errorf("got %+v", seen)
	}
	if fmt.Sprint(seen.Headers) != "map[x-echo-status:[418] x-two:[a b]]" {
		t.Errorf("no header may be added: %v", seen.Headers)
	}
}

func TestRefusesCallsToExternalAddresses(t *testing.T) {
	for address, allowed := range map[string]bool{
		"127.0.0.1:80": true, "10.244.0.7:80": true, "[::1]:80": true, "8.8.8.8:80": false, "169.254.169.254:80": false,
	} {
		if err := onlyLocal("tcp", address, nil); (err == nil) != allowed {
			t.Errorf("%s: %v", address, err)
		}
	}
}
