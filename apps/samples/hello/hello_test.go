package hello

import (
	"io"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"

	"istio-canary/apps/internal/servicetest"
)

func TestARequestIsAnsweredInEchoserversFormat(t *testing.T) {
	address := servicetest.Started(t, servicetest.Configured(t, Minikube()))
	port := address[strings.LastIndex(address, ":"):]
	pod, _ := os.Hostname()
	for name, test := range map[string]struct {
		method, uri, body string
		want              []string
	}{
		"without query and body": {
			"GET", "/", "",
			[]string{"command=GET", "real path=/", "query=nil", "request_uri=http://hello.example.com" + port + "/", "", "-no body in request-"},
		},
		"with query and body": {
			"POST", "/a//../b%20c?q=1&q=2", "two\nlines",
			[]string{
				"command=POST", "real path=/a//../b%20c?q=1&q=2", "query=q=1&q=2",
				"request_uri=http://hello.example.com" + port + "/a//../b%20c?q=1&q=2", "content-length=9\n", "two\nlines",
			},
		},
	} {
		request, err := http.NewRequest(test.method, address, strings.NewReader(test.body))
		if err != nil {
			t.Fatal(err)
		}
		path, query, _ := strings.Cut(test.uri, "?")
		request.URL.Opaque, request.URL.RawQuery = path, query
		request.Host = "hello.example.com:80"
		request.Header = http.Header{"X-Two": {"a", "b"}, "User-Agent": {"curl/8"}, "Accept-Encoding": {"identity"}}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(response.Body)
		response.Body.Close()
		want := "CLIENT VALUES:\nclient_address=127.0.0.1\n" + strings.Join(test.want[:3], "\n") +
			"\nrequest_version=1.1\n" + test.want[3] +
			"\n\nSERVER VALUES:\nserver_version=" + runtime.Version() + "\npod=" + pod +
			"\n\nHEADERS RECEIVED:\naccept-encoding=identity\n" + test.want[4] +
			"host=hello.example.com:80\nuser-agent=curl/8\nx-two=a, b\n\nBODY:\n" + test.want[5]
		if string(got) != want {
			t.Errorf("%s:\n%s\nexpected:\n%s", name, got, want)
		}
		if kind := response.Header.Get("content-type"); kind != "text/plain; charset=utf-8" {
			t.Errorf("%s: %s", name, kind)
		}
	}
}
