package assets

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"istio-canary/apps/internal/service"
	"istio-canary/apps/internal/servicetest"
)

// ids returns the ids in a list of assets in JSON.
func ids(t *testing.T, answer *httptest.ResponseRecorder) string {
	t.Helper()
	var assets []Asset
	if err := json.Unmarshal(answer.Body.Bytes(), &assets); err != nil || answer.Code != 200 {
		t.Fatalf("%v: %d %s", err, answer.Code, answer.Body)
	}
	var words []string
	for _, asset := range assets {
		words = append(words, asset.ID)
	}
	return strings.Join(words, " ")
}

const all = "DAL01 HOU01 LA01 LA02 LA03 ND01"

func TestTheManagerListsItsAssets(t *testing.T) {
	manager := servicetest.Configured(t, Manager())
	for path, want := range map[string]string{
		"/assets": all, "/assets/type/pump": "DAL01 HOU01 LA01 LA02 ND01", "/assets/type/fan": "LA03", "/assets/type/none": "",
	} {
		if got := ids(t, servicetest.Ask(manager, "GET", path, "")); got != want {
			t.Errorf("%s: got %q", path, got)
		}
	}
	if got := servicetest.Ask(manager, "GET", "/assets/type/none", "").Body.String(); got != "[]" {
		t.Errorf("an empty list is [], got %s", got)
	}
}

func TestAnAssetIsCreatedReadReplacedAndDeleted(t *testing.T) {
	manager := servicetest.Configured(t, Manager())
	for number, step := range []struct {
		method, path, body string
		status             int
		holds              string
	}{
		{"GET", "/assets/NY01", "", 404, `{"error":"there is no such asset: \"NY01\""}`},
		{"PUT", "/assets/NY01", `{"type":"pump"}`, 404, "no such asset"},
		{"DELETE", "/assets/NY01", "", 404, "no such asset"},
		{"POST", "/assets", `{"id":"NY01","type":"pump","pressure":5}`, 201, `"pressure":5`},
		{"GET", "/assets/NY01", "", 200, `"pressure":5`},
		{"POST", "/assets", `{"id":"NY01","type":"pump","pressure":6}`, 200, `"pressure":6`},
		{"PUT", "/assets/NY01", `{"type":"fan","pressure":7}`, 200, `"id":"NY01","type":"fan"`},
		{"PUT", "/assets/NY01", `{"id":"NY01","type":"fan","pressure":8}`, 200, `"pressure":8`},
		{"GET", "/assets/type/fan", "", 200, `"pressure":8`},
		{"DELETE", "/assets/NY01", "", 204, ""},
		{"GET", "/assets/NY01", "", 404, "no such asset"},
		{"GET", "/assets/DAL01", "", 200, `"id":"DAL01"`},
	} {
		answer := servicetest.Ask(manager, step.method, step.path, step.body)
		if answer.Code != step.status || !strings.Contains(answer.Body.String(), step.holds) {
			t.Errorf("step %d: %d %s", number, answer.Code, answer.Body)
		}
	}
	if got := ids(t, servicetest.Ask(manager, "GET", "/assets", "")); got != all {
		t.Errorf("got %s", got)
	}
}

func TestTheManagerRefusesWhatIsNoAsset(t *testing.T) {
	manager := servicetest.Configured(t, Manager())
	for _, test := range []struct {
		method, path, body string
		status             int
		holds              string
	}{
		{"POST", "/assets", "", 400, "not an asset in JSON"},
		{"POST", "/assets", "[]", 400, "not an asset in JSON"},
		{"POST", "/assets", `{"id":"A","type":"pump","colour":"red"}`, 400, `unknown field \"colour\"`},
		{"POST", "/assets", `{"id":"X1","type":"pump"} trailing`, 400, "there is more after it"},
		{"POST", "/assets", `{"id":"X1","type":"pump"}{}`, 400, "there is more after it"},
		{"POST", "/assets", `{"id":"..","type":"pump"}`, 400, `id is \"..\"; allowed: `},
		{"POST", "/assets", `{"id":"X1","type":"."}`, 400, `type is \".\"; allowed: `},
		{"POST", "/assets", `{"type":"pump"}`, 400, `id is \"\"; allowed: `},
		{"POST", "/assets", `{"id":"A/B","type":"pump"}`, 400, `id is \"A/B\"; allowed: `},
		{"POST", "/assets", `{"id":"A"}`, 400, `type is \"\"; allowed: `},
		{"POST", "/assets", `{"id":"A","type":"pump","os":"` + strings.Repeat("a", 129) + `"}`, 400, "os is longer than 128 bytes"},
		{"POST", "/assets", `{"id":"A","type":"` + strings.Repeat("a", 64<<10) + `"}`, 413, "larger than 64 KiB"},
		{"PUT", "/assets/DAL01", `{"id":"HOU01","type":"pump"}`, 400, `the body's id is \"HOU01\", the path's is \"DAL01\"`},
		{"PUT", "/assets", `{}`, 405, ""},
		{"GET", "/other", "", 404, ""},
	} {
		answer := servicetest.Ask(manager, test.method, test.path, test.body)
		if answer.Code != test.status || !strings.Contains(answer.Body.String(), test.holds) {
			t.Errorf("%s %s %.80s: %d %s", test.method, test.path, test.body, answer.Code, answer.Body)
		}
	}
	if got := ids(t, servicetest.Ask(manager, "GET", "/assets", "")); got != all {
		t.Errorf("got %s", got)
	}
}

func TestRepeatedSlashesLoseNoPrefix(t *testing.T) {
	manager := servicetest.Configured(t, Manager(), "-prefix=/assetmgrms")
	if answer := servicetest.Ask(manager, "GET", "/assetmgrms/assets//DAL01", ""); answer.Code != 200 {
		t.Errorf("%d to %s", answer.Code, answer.Header().Get("location"))
	}
}

func TestTheManagerHoldsALimitedNumberOfAssets(t *testing.T) {
	manager := servicetest.Configured(t, Manager())
	post := func(number int) int {
		return servicetest.Ask(manager, "POST", "/assets", fmt.Sprintf(`{"id":"A%d","type":"pump"}`, number)).Code
	}
	added := 0
	for post(added) == 201 {
		added++
	}
	if added != mostAssets-len(seeds()) || post(added) != 507 || post(0) != 200 {
		t.Errorf("%d were added", added)
	}
}

func TestEachServiceTellsItsNameAtTheRoot(t *testing.T) {
	for want, of := range map[string]service.Service{
		`{"service":"asset-manager"}`:                        Manager(),
		`{"service":"asset-bff"}`:                            BFF(),
		`{"service":"asset-consumer","posted":0,"failed":0}`: Consumer(),
	} {
		if got := servicetest.Ask(servicetest.Configured(t, of), "GET", "/", "").Body.String(); got != want {
			t.Errorf("got %s", got)
		}
	}
}

func TestTheBFFAnswersWithTheManagersAssetsAndWithNoneWhenItFails(t *testing.T) {
	closed := httptest.NewServer(nil)
	closed.Close()
	text := func(status int, content string) string {
		return servicetest.Started(t, http.HandlerFunc(func(answer http.ResponseWriter, _ *http.Request) {
			answer.WriteHeader(status)
			fmt.Fprint(answer, content)
		}))
	}
	for name, test := range map[string]struct{ manager, want string }{
		"works":        {servicetest.Started(t, servicetest.Configured(t, Manager())), all},
		"fails":        {servicetest.Started(t, servicetest.Configured(t, Manager(), "-fail-percent=100")), ""},
		"is gone":      {closed.URL, ""},
		"hangs":        {servicetest.Started(t, servicetest.Configured(t, Manager(), "-delay=1h")), ""},
		"answers null": {text(200, "null"), ""},
		"answers text": {text(200, "no healthy upstream"), ""},
	} {
		timeout := "-timeout=20s"
		if name == "hangs" {
			timeout = "-timeout=50ms"
		}
		bff := servicetest.Configured(t, BFF(), "-manager-url="+test.manager, timeout)
		answer := servicetest.Ask(bff, "GET", "/assets", "")
		if got := ids(t, answer); got != test.want || (test.want == "" && answer.Body.String() != "[]") {
			t.Errorf("%s: %s", name, answer.Body)
		}
	}
}

func TestTheManagersAddressIsTheVariablesUnlessAFlagSaysOtherwise(t *testing.T) {
	t.Setenv("MANAGER_URL", servicetest.Started(t, servicetest.Configured(t, Manager())))
	if got := ids(t, servicetest.Ask(servicetest.Configured(t, BFF()), "GET", "/assets", "")); got != all {
		t.Errorf("got %s", got)
	}
}

func TestAnEventIsPostedToTheManagerAsPartOfItsTrace(t *testing.T) {
	manager := servicetest.Configured(t, Manager())
	var traceparent string
	address := servicetest.Started(t, http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		traceparent = request.Header.Get("traceparent")
		manager.ServeHTTP(answer, request)
	}))
	consumer := servicetest.Configured(t, Consumer(), "-manager-url="+address)
	event := `{"id":"DAL01","type":"pump","temperature":95}`
	answer := servicetest.Ask(consumer, "POST", "/events", event, "traceparent: 00-4bf9-00f0-01")
	if answer.Code != 201 || !strings.Contains(answer.Body.String(), `"temperature":95`) || traceparent != "00-4bf9-00f0-01" {
		t.Errorf("%d %s, %q", answer.Code, answer.Body, traceparent)
	}
	if got := servicetest.Ask(manager, "GET", "/assets/DAL01", "").Body.String(); !strings.Contains(got, `"temperature":95`) {
		t.Errorf("got %s", got)
	}
}

func TestAnEventThatCannotBePostedIsAnsweredWithTheReason(t *testing.T) {
	failing := servicetest.Started(t, servicetest.Configured(t, Manager(), "-fail-percent=100"))
	consumer := servicetest.Configured(t, Consumer(), "-manager-url="+failing)
	for body, want := range map[string]int{`{"id":"DAL01","type":"pump"}`: 502, `{"id":"DAL01"}`: 400, `{`: 400} {
		if answer := servicetest.Ask(consumer, "POST", "/events", body); answer.Code != want || !strings.Contains(answer.Body.String(), `{"error":`) {
			t.Errorf("%s: %d %s", body, answer.Code, answer.Body)
		}
	}
	if got := servicetest.Ask(consumer, "GET", "/", "").Body.String(); got != `{"service":"asset-consumer","posted":0,"failed":1}` {
		t.Errorf("got %s", got)
	}
}

func TestTheConsumerPostsEventsUntilItIsStopped(t *testing.T) {
	events := make(chan Asset)
	address := servicetest.Started(t, http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		event, err := read(request.Body)
		if err != nil || event.check() != nil {
			t.Errorf("%+v: %v", event, err)
		}
		events <- event
		service.WriteJSON(answer, 200, event)
	}))
	of := Consumer()
	servicetest.Configured(t, of, "-manager-url="+address, "-interval=1ms")
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		of.Work(ctx)
		close(ended)
	}()
	var got []string
	for range 7 {
		event := <-events
		got = append(got, fmt.Sprint(event.ID, " ", event.Temperature))
	}
	stop()
	for { // one more event may be on its way
		select {
		case <-events:
			continue
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Fatal("it did not stop")
		}
		break
	}
	if strings.Join(got, ", ") != "DAL01 40, HOU01 40, LA01 40, LA02 40, LA03 40, ND01 40, DAL01 41" {
		t.Errorf("got %v", got)
	}
}

func TestTheConsumerKeepsPostingAfterAFailure(t *testing.T) {
	of := Consumer()
	var logs bytes.Buffer
	tries := make(chan struct{})
	address := servicetest.Started(t, http.HandlerFunc(func(answer http.ResponseWriter, _ *http.Request) {
		tries <- struct{}{}
		answer.WriteHeader(http.StatusServiceUnavailable)
	}))
	if _, err := of.Configure([]string{"-manager-url=" + address, "-interval=1ms"}, &logs); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		of.Work(ctx)
		close(ended)
	}()
	<-tries
	<-tries
	stop()
	for {
		select {
		case <-tries:
			continue
		case <-ended:
		}
		break
	}
	if !strings.Contains(logs.String(), `"asset":"DAL01","error":"POST `) {
		t.Errorf("got %s", &logs)
	}
}

func TestTheConsumerPostsNothingOnItsOwnWithoutAnInterval(t *testing.T) {
	of := Consumer()
	handler := servicetest.Configured(t, of, "-interval=0s")
	of.Work(context.Background()) // returns at once
	if got := servicetest.Ask(handler, "GET", "/", "").Body.String(); got != `{"service":"asset-consumer","posted":0,"failed":0}` {
		t.Errorf("got %s", got)
	}
	if _, err := Consumer().Configure([]string{"-interval=-1s"}, io.Discard); err == nil {
		t.Error("a negative interval was accepted")
	}
}
