package service

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// echo answers with the method, path and body of a request.
func echo() Service {
	return Service{
		Name: "echo", Listen: "127.0.0.1:0", Calls: true,
		Handler: func(Tools) (http.Handler, error) {
			return http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
				body, _ := io.ReadAll(request.Body)
				fmt.Fprint(answer, request.Method, " ", request.URL.EscapedPath(), " ", string(body))
			}), nil
		},
	}
}

func configured(t *testing.T, of Service, logs io.Writer, words ...string) *App {
	t.Helper()
	app, err := of.Configure(words, logs)
	if err != nil {
		t.Fatal(err)
	}
	return app
}

func ask(app http.Handler, method, uri, body string, headers ...string) *httptest.ResponseRecorder {
	request := httptest.NewRequest(method, uri, strings.NewReader(body))
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		request.Header.Add(name, value)
	}
	answer := httptest.NewRecorder()
	app.ServeHTTP(answer, request)
	return answer
}

func lines(t *testing.T, logs *bytes.Buffer) []map[string]any {
	t.Helper()
	var found []map[string]any
	for line := range strings.Lines(logs.String()) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		found = append(found, entry)
	}
	return found
}

func TestARequestIsLoggedInOneLineOfJSON(t *testing.T) {
	for name, test := range map[string]struct {
		flags, headers []string
		want           map[string]any
	}{
		"in a trace": {
			nil, []string{"traceparent: 00-4bf9-00f0-01", "x-request-id: 5c1f"},
			map[string]any{"path": "/a b", "status": 200., "trace_id": "4bf9", "request_id": "5c1f"},
		},
		"outside one": {nil, nil, map[string]any{"path": "/a b", "status": 200., "trace_id": nil, "request_id": nil}},
		"failed":      {[]string{"-fail-percent=100"}, nil, map[string]any{"status": 503.}},
	} {
		var logs bytes.Buffer
		ask(configured(t, echo(), &logs, test.flags...), "PUT", "/a%20b?secret=1", "", test.headers...)
		entries := lines(t, &logs)
		if len(entries) != 1 || strings.Contains(logs.String(), "secret") {
			t.Fatalf("%s: got %s", name, &logs)
		}
		test.want["msg"], test.want["level"], test.want["service"], test.want["method"] = "request", "INFO", "echo", "PUT"
		for key, want := range test.want {
			if entries[0][key] != want {
				t.Errorf("%s: %s is %v", name, key, entries[0][key])
			}
		}
		if _, err := time.Parse(time.RFC3339, entries[0]["time"].(string)); err != nil {
			t.Error(err)
		}
		if duration, ok := entries[0]["duration_ms"].(float64); !ok || duration < 0 || duration > 10000 {
			t.Errorf("%s: the duration is %v", name, entries[0]["duration_ms"])
		}
	}
}

func TestHealthIsAnsweredAlwaysAndNotLogged(t *testing.T) {
	var logs bytes.Buffer
	app := configured(t, echo(), &logs, "-fail-percent=100", "-delay=1h", "-prefix=/shop")
	for _, path := range []string{"/health", "/shop/health"} {
		if answer := ask(app, "GET", path, ""); answer.Code != 200 || answer.Body.String() != `{"status":"UP"}` {
			t.Errorf("%s: %d %s", path, answer.Code, answer.Body)
		}
	}
	if logs.Len() > 0 {
		t.Errorf("logged %s", &logs)
	}
}

func TestTheServiceAnswersUnderItsPrefixAsWell(t *testing.T) {
	for _, test := range [][3]string{
		{"", "/assets", "/assets"},
		{"", "//assets", "/assets"},
		{"", "/", "/"},
		{"/shop", "/assets", "/assets"},
		{"/shop", "/shop/assets", "/assets"},
		{"/shop", "/shop//assets/", "/assets/"},
		{"/shop", "/shop/assets//DAL01", "/assets/DAL01"},
		{"", "/assets//a%2F%2Fb", "/assets/a%2F%2Fb"},
		{"/shop", "/shop/a/../b/.", "/b"},
		{"/shop", "/shop", "/"},
		{"/shop", "/shop/", "/"},
		{"/shop", "/shopping", "/shopping"},
		{"/shop", "/shop/shop/a", "/shop/a"},
		{"/shop/", "/shop/a%2Fb%20c", "/a%2Fb%20c"},
		{"/", "/shop", "/shop"},
	} {
		answer := ask(configured(t, echo(), io.Discard, "-prefix="+test[0]), "GET", test[1], "")
		if got := answer.Body.String(); got != "GET "+test[2]+" " {
			t.Errorf("%v: got %s", test, got)
		}
	}
}

func TestABodyIsLimitedInSize(t *testing.T) {
	app := configured(t, echo(), io.Discard)
	for size, want := range map[int]int{0: 200, bodyBytes: 200, bodyBytes + 1: 413} {
		answer := ask(app, "POST", "/", strings.Repeat("a", size))
		if answer.Code != want || (want == 200 && answer.Body.Len() != len("POST / ")+size) {
			t.Errorf("%d bytes: %d %.80s", size, answer.Code, answer.Body)
		}
	}
}

func TestABodyThatBreaksOffIsRefused(t *testing.T) {
	request := httptest.NewRequest("POST", "/", io.MultiReader(strings.NewReader("a"), failingReader{}))
	answer := httptest.NewRecorder()
	configured(t, echo(), io.Discard).ServeHTTP(answer, request)
	if answer.Code != 400 || answer.Body.String() != `{"error":"the body did not arrive: broken off"}` {
		t.Errorf("%d %s", answer.Code, answer.Body)
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errors.New("broken off") }

func TestTheServiceWaitsAsItsFlagSaysUnlessTheCallerGivesUp(t *testing.T) {
	began := time.Now()
	ask(configured(t, echo(), io.Discard, "-delay=30ms"), "GET", "/", "")
	if time.Since(began) < 30*time.Millisecond {
		t.Error("it did not wait")
	}
	var logs bytes.Buffer
	app := configured(t, echo(), &logs, "-delay=1h")
	ctx, giveUp := context.WithCancel(context.Background())
	giveUp()
	answer := httptest.NewRecorder()
	app.ServeHTTP(answer, httptest.NewRequestWithContext(ctx, "GET", "/", nil))
	if entries := lines(t, &logs); answer.Body.Len() > 0 || entries[0]["status"] != 499. {
		t.Errorf("answered %s, logged %v", answer.Body, entries)
	}
}

func TestUnusableFlagsAreRefused(t *testing.T) {
	for _, word := range []string{
		"-unknown", "-delay=soon", "-delay=-5s", "-grace=-1s", "-fail-percent=101", "-prefix=shop", "-prefix=/a?b", "-prefix=//a", "-timeout=0s",
		"-timeout=21s", "-forward-headers=a b", "-forward-headers=", "-forward-headers=qa,,channel", "argument",
	} {
		if _, err := echo().Configure([]string{word}, io.Discard); err == nil {
			t.Errorf("%s was accepted", word)
		}
	}
	alone := echo()
	alone.Calls = false
	if _, err := alone.Configure([]string{"-timeout=1s"}, io.Discard); err == nil {
		t.Error("a service that calls no other one has no -timeout")
	}
}

func TestAnAddressIsTheFlagsTheVariablesOrTheDefault(t *testing.T) {
	lookUp := func(variables map[string]string) func(string) (string, bool) {
		return func(name string) (string, bool) {
			text, set := variables[name]
			return text, set
		}
	}
	for name, test := range map[string]struct {
		variables map[string]string
		words     []string
		want      string
		refused   bool
	}{
		"default":             {nil, nil, "http://default", false},
		"variable":            {map[string]string{"OTHER_URL": "http://a:8080/"}, nil, "http://a:8080", false},
		"empty variable":      {map[string]string{"OTHER_URL": ""}, nil, "http://default", false},
		"flag":                {map[string]string{"OTHER_URL": "http://a"}, []string{"-other-url=https://b/c/"}, "https://b/c", false},
		"other variables":     {map[string]string{"LISTEN": "tcp://10.0.0.1:80"}, nil, "http://default", false},
		"unusable variable":   {map[string]string{"OTHER_URL": "tcp://10.0.0.1:80"}, nil, "", true},
		"no host":             {nil, []string{"-other-url=http:///a"}, "", true},
		"not a base address":  {nil, []string{"-other-url=http://a/?b=c"}, "", true},
		"not even an address": {nil, []string{"-other-url=http://a b"}, "", true},
	} {
		got := "http://default"
		flags := flag.NewFlagSet("", flag.ContinueOnError)
		flags.SetOutput(io.Discard)
		flags.String("listen", "", "")
		URLVar(flags, &got, "other-url", "address of another service")
		err := setFromEnvironment(flags, lookUp(test.variables))
		if err == nil {
			err = flags.Parse(test.words)
		}
		if (err != nil) != test.refused || (err == nil && got != test.want) {
			t.Errorf("%s: %v, %s", name, err, got)
		}
	}
}

func TestTheHelpListsEveryFlag(t *testing.T) {
	if _, err := echo().Configure([]string{"-help"}, io.Discard); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("got %v", err)
	}
	of := echo()
	of.Flags = func(flags *flag.FlagSet) {
		address := "http://a:8080"
		URLVar(flags, &address, "other-url", "address of another service")
	}
	var text bytes.Buffer
	of.Usage(&text)
	for _, want := range []string{
		"usage: samples echo [flags]\n", "-listen", "-grace", "-prefix", "-delay", "-fail-percent", "-timeout",
		"-forward-headers", "-other-url", "the variable OTHER_URL sets it, too (default http://a:8080)",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is missing in %s", want, &text)
		}
	}
}

func TestRequestsAndWorkAreFinishedBeforeTheServiceEnds(t *testing.T) {
	began, release, stopped := make(chan struct{}), make(chan struct{}), make(chan struct{})
	of := echo()
	of.Handler = func(Tools) (http.Handler, error) {
		return http.HandlerFunc(func(answer http.ResponseWriter, _ *http.Request) {
			close(began)
			<-release
			fmt.Fprint(answer, "finished")
		}), nil
	}
	finished := false
	of.Work = func(ctx context.Context) {
		<-ctx.Done()
		close(stopped)
		<-release
		finished = true
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	app := configured(t, of, io.Discard)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- app.serve(ctx, []net.Listener{listener}) }()
	answered := make(chan string, 1)
	go func() {
		response, err := http.Get("http://" + listener.Addr().String())
		if err != nil {
			answered <- err.Error()
			return
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		answered <- string(body)
	}()
	<-began
	stop()
	<-stopped
	close(release)
	if got := <-answered; got != "finished" {
		t.Errorf("the request was answered %q", got)
	}
	if err := <-ended; err != nil || !finished {
		t.Errorf("%v; the work was finished: %t", err, finished)
	}
}

func TestAServiceThatCannotListenSaysSo(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	app := configured(t, echo(), io.Discard, "-listen="+taken.Addr().String())
	if err := app.Run(context.Background()); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("got %v", err)
	}
}

func TestABodyThatDoesNotArriveInTimeIsRefused(t *testing.T) {
	app := configured(t, echo(), io.Discard)
	app.bodyTime = 10 * time.Millisecond
	server := httptest.NewServer(app)
	defer server.Close()
	connection, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	fmt.Fprint(connection, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\na")
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != 400 {
		t.Errorf("answered %d", response.StatusCode)
	}
}

func TestTheTimeLimitOfABodyDoesNotHoldForTheAnswer(t *testing.T) {
	app := configured(t, echo(), io.Discard, "-delay=50ms")
	app.bodyTime = 10 * time.Millisecond
	server := httptest.NewServer(app)
	defer server.Close()
	for range 2 { // the second request uses the connection of the first
		response, err := http.Post(server.URL, "text/plain", strings.NewReader("ab"))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if string(body) != "POST / ab" {
			t.Errorf("answered %d %s", response.StatusCode, body)
		}
	}
}

func TestAFailureIsLoggedWithTheRequestsIDs(t *testing.T) {
	var logs bytes.Buffer
	var failing Tools
	of := echo()
	of.Handler = func(tools Tools) (http.Handler, error) {
		failing = tools
		return http.NotFoundHandler(), nil
	}
	configured(t, of, &logs)
	received := http.Header{"X-B3-Traceid": {"80f1"}, "X-Request-Id": {"5c1f"}}
	failing.LogFailure(context.Background(), "no articles", errors.New("connection refused"), received)
	entry := lines(t, &logs)[0]
	delete(entry, "time")
	want := map[string]any{
		"level": "WARN", "msg": "no articles", "service": "echo", "error": "connection refused",
		"trace_id": "80f1", "request_id": "5c1f",
	}
	if fmt.Sprint(entry) != fmt.Sprint(want) {
		t.Errorf("got %v", entry)
	}
}
