package cloudnative

import (
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"istio-canary/apps/internal/service"
	"istio-canary/apps/internal/servicetest"
)

func ask(t *testing.T, of service.Service, method, path string, flags ...string) *httptest.ResponseRecorder {
	t.Helper()
	return servicetest.Ask(servicetest.Configured(t, of, flags...), method, path, "")
}

func file(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "application.properties")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestTheJavaServiceTellsItsInstanceInTheJSONOfItsRelease(t *testing.T) {
	two := "-config=" + file(t, "instance.name=Two\n")
	for name, test := range map[string]struct {
		path  string
		flags []string
		want  string
	}{
		"no file":          {"/javaservice", nil, `{"whoami":"One Java Service"}`},
		"a file":           {"/javaservice", []string{two}, `{"whoami":"Two Java Service"}`},
		"the other route":  {"/javaserviceroute", []string{two}, `{"whoami":"Two Java Route Service"}`},
		"the first":        {"/javaservice", []string{"-release=1.0.0"}, `{"whoami":"One Java Service"}`},
		"the second":       {"/javaservice", []string{"-release=UPDATE2_0"}, `{"release":"UPDATE2_0","instance":"One","service":"Java Service"}`},
		"the second's two": {"/javaserviceroute", []string{"-release=UPDATE2_0", two}, `{"release":"UPDATE2_0","instance":"Two","service":"Java Route Service"}`},
	} {
		answer := ask(t, JavaService(), "GET", test.path, test.flags...)
		if answer.Code != 200 || answer.Body.String() != test.want {
			t.Errorf("%s: %d %s", name, answer.Code, answer.Body)
		}
		if kind := answer.Header().Get("content-type"); kind != "application/json" {
			t.Errorf("%s: %s", name, kind)
		}
	}
}

func TestTheInstancesNameIsReadFromProperties(t *testing.T) {
	for content, want := range map[string]string{
		"":                                       "One",
		"other.name=Two":                         "One",
		"instance.name=":                         "One",
		"#instance.name=Two\n!instance.name:Two": "One",
		" instance.name = Two \r\n":              "Two",
		"instance.name: Two":                     "Two",
		"instance.name=One\ninstance.name=Two":   "Two",
		`instance.name=a "b" <c>`:                `a \"b\" \u003cc\u003e`,
	} {
		answer := ask(t, JavaService(), "GET", "/javaservice", "-config="+file(t, content))
		if got := answer.Body.String(); got != `{"whoami":"`+want+` Java Service"}` {
			t.Errorf("%q: %s", content, got)
		}
	}
}

func TestAnUnusableConfigurationIsRefused(t *testing.T) {
	for _, words := range [][]string{{"-release=2"}, {"-config=" + t.TempDir()}} {
		if _, err := JavaService().Configure(words, io.Discard); err == nil {
			t.Errorf("%v was accepted", words)
		}
	}
	if _, err := Frontend().Configure([]string{"-java-url=localhost:9191"}, io.Discard); err == nil {
		t.Error("an address without a scheme was accepted")
	}
}

func TestTheGoServiceAnswersWithText(t *testing.T) {
	for path, want := range map[string]string{"/goservice": "Go Service", "/goserviceroute": "Go Service Route"} {
		if answer := ask(t, GoService(), "GET", path); answer.Code != 200 || answer.Body.String() != want {
			t.Errorf("%s: %d %s", path, answer.Code, answer.Body)
		}
	}
}

func TestTheFrontendLinksTheServices(t *testing.T) {
	for name, test := range map[string]struct {
		flags []string
		want  []string
	}{
		"on its own host": {nil, []string{`"/javaservice"`, `"/javaserviceroute"`, `"/goservice"`, `"/goserviceroute"`}},
		"elsewhere": {
			[]string{"-java-url=http://localhost:9191", `-go-url=https://go.example.com/a"b/`},
			[]string{`"http://localhost:9191/javaservice"`, `"https://go.example.com/a&#34;b/goservice"`},
		},
	} {
		answer := ask(t, Frontend(), "GET", "/", test.flags...)
		if kind := answer.Header().Get("content-type"); answer.Code != 200 || kind != "text/html; charset=utf-8" {
			t.Errorf("%s: %d %s", name, answer.Code, kind)
		}
		for _, link := range test.want {
			if !strings.Contains(answer.Body.String(), "<a href="+link+">") {
				t.Errorf("%s: %s is missing in %s", name, link, answer.Body)
			}
		}
	}
}

func TestOtherPathsAndMethodsAreRefused(t *testing.T) {
	for _, of := range []func() service.Service{JavaService, GoService, Frontend} {
		if got := ask(t, of(), "GET", "/other").Code; got != 404 {
			t.Errorf("%s: %d", of().Name, got)
		}
	}
	if got := ask(t, JavaService(), "POST", "/javaservice").Code; got != 405 {
		t.Errorf("got %d", got)
	}
}
