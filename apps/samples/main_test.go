package main

import (
	"bytes"
	"context"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestEachServiceListensOnItsPortAndIsHealthy(t *testing.T) {
	ports := map[string]string{
		"hello-minikube": ":8080", "java-service": ":8080", "go-service": ":8079", "frontend": ":80",
		"asset-manager": ":8080", "asset-bff": ":8080", "asset-consumer": ":8080",
		"web-api": ":9080", "articles": ":8080", "authors": ":3000",
	}
	if len(services()) != len(ports) {
		t.Errorf("there are %d services", len(services()))
	}
	for _, each := range services() {
		if each.Listen != ports[each.Name] {
			t.Errorf("%s listens on %q", each.Name, each.Listen)
		}
		app, err := each.Configure(nil, io.Discard)
		if err != nil {
			t.Errorf("%s: %v", each.Name, err)
			continue
		}
		answer := httptest.NewRecorder()
		app.ServeHTTP(answer, httptest.NewRequest("GET", "/health", nil))
		if answer.Code != 200 || answer.Body.String() != `{"status":"UP"}` {
			t.Errorf("%s: %d %s", each.Name, answer.Code, answer.Body)
		}
	}
}

func TestTheExitCodeAndTheMessageSayWhatIsWrong(t *testing.T) {
	for name, test := range map[string]struct {
		words   []string
		code    int
		message string
	}{
		"no service":         {nil, 2, "samples: without a service\n    allowed: hello-minikube, java-service, "},
		"an unknown service": {[]string{"webapi"}, 2, "samples: unknown service \"webapi\"\n    allowed: hello-minikube, "},
		"a misspelt service": {[]string{"java-servce"}, 2, "samples: unknown service \"java-servce\""},
		"a negative delay":   {[]string{"articles", "-delay=-5s"}, 2, "samples articles: -delay is -5s; allowed: 0s or more"},
		"an unknown flag": {
			[]string{"web-api", "-replicas=2"}, 2,
			"samples web-api: flag provided but not defined: -replicas\n    fix: samples web-api -help lists the flags\n",
		},
		"an unusable address": {[]string{"articles", "-listen=nowhere"}, 1, "samples articles: listen tcp: "},
		"help":                {[]string{"articles", "-help"}, 0, ""},
	} {
		var logs, messages bytes.Buffer
		if got := run(context.Background(), test.words, &logs, &messages); got != test.code {
			t.Errorf("%s: exit code %d", name, got)
		}
		if !strings.HasPrefix(messages.String(), test.message) || (test.message == "") != (messages.Len() == 0) {
			t.Errorf("%s: %s", name, &messages)
		}
		if name == "help" && !strings.HasPrefix(logs.String(), "usage: samples articles [flags]\n") {
			t.Errorf("got %s", &logs)
		}
	}
}

func TestTheServiceThatWasMeantIsSuggested(t *testing.T) {
	for word, want := range map[string]string{
		"java-servce": "java-service", "webapi": "web-api", "assets-bff": "asset-bff", "something-else": "<service>", "": "<service>",
	} {
		_, err := choose([]string{word})
		if err == nil || !strings.HasSuffix(err.Error(), "fix:     samples "+want) {
			t.Errorf("%q: %v", word, err)
		}
	}
}

func TestAStoppedServiceExitsWithoutAnError(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	stop()
	var logs, messages bytes.Buffer
	if got := run(ctx, []string{"asset-consumer", "-listen=127.0.0.1:0", "-interval=0s"}, &logs, &messages); got != 0 {
		t.Errorf("exit code %d: %s", got, &messages)
	}
	if !strings.Contains(logs.String(), `"msg":"listening","service":"asset-consumer","address":"127.0.0.1:`) {
		t.Errorf("logged %s", &logs)
	}
}
