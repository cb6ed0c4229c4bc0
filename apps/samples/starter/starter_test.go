package starter

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"istio-canary/apps/internal/service"
	"istio-canary/apps/internal/servicetest"
)

func get(handler http.Handler, path string, headers ...string) *httptest.ResponseRecorder {
	return servicetest.Ask(handler, "GET", path, "", headers...)
}

func body[T any](t *testing.T, answer *httptest.ResponseRecorder) T {
	t.Helper()
	var content T
	if err := json.Unmarshal(answer.Body.Bytes(), &content); err != nil || answer.Code != 200 {
		t.Fatalf("%v: %d %s", err, answer.Code, answer.Body)
	}
	return content
}

// failingWhen answers 503 while the switch is on, and else as the handler does.
func failingWhen(on *atomic.Bool, handler http.Handler) http.Handler {
	return http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		if on.Load() {
			answer.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		handler.ServeHTTP(answer, request)
	})
}

// webAPIOf returns a web-api that calls these services.
func webAPIOf(t *testing.T, articles, authors http.Handler, flags ...string) http.Handler {
	t.Helper()
	flags = append(flags, "-articles-url="+servicetest.Started(t, articles), "-authors-url="+servicetest.Started(t, authors), "-timeout=20s")
	return servicetest.Configured(t, WebAPI(), flags...)
}

const path = "/web-api/v1/getmultiple"

func TestTheArticlesAreAsManyAsAskedFor(t *testing.T) {
	articles := servicetest.Configured(t, Articles())
	for query, want := range map[string]int{"": 10, "?amount=": 10, "?amount=0": 0, "?amount=5": 5, "?amount=10": 10, "?amount=99": 10} {
		got := body[[]article](t, get(articles, "/articles/v1/getmultiple"+query))
		if len(got) != want || (want > 0 && (got[0].ID != "10" || got[0].Title == "" || got[0].URL == "" || got[0].Author == "")) {
			t.Errorf("%q: got %+v", query, got)
		}
	}
	if got := get(articles, "/articles/v1/getmultiple?amount=0").Body.String(); got != "[]" {
		t.Errorf("an empty list is [], got %s", got)
	}
	for _, amount := range []string{"-1", "many", "1.5", "99999999999"} {
		if got := get(articles, "/articles/v1/getmultiple?amount="+amount).Code; got != 400 {
			t.Errorf("%s: got %d", amount, got)
		}
	}
}

func TestAnAuthorIsFoundByName(t *testing.T) {
	authors := servicetest.Configured(t, Authors())
	for path, want := range map[string]string{
		"/api/v1/getauthor?name=Ada%20Example": `200 {"name":"Ada Example","blog":"https://ada.example.com","twitter":"@ada_example"}`,
		"/api/v1/getauthor?name=ada":           `404 {"error":"there is no author \"ada\""}`,
		"/api/v1/getauthor":                    `400 {"error":"the query lacks the author's name; allowed: name=Ada%20Example"}`,
	} {
		answer := get(authors, path)
		if got := fmt.Sprint(answer.Code, " ", answer.Body); got != want {
			t.Errorf("%s: got %s", path, got)
		}
	}
}

func TestEveryArticleHasAnAuthorThatIsKnown(t *testing.T) {
	authors := servicetest.Configured(t, Authors())
	for _, article := range written() {
		query := url.Values{"name": {article.Author}}.Encode()
		answer := get(authors, "/api/v1/getauthor?"+query)
		if answer.Code != 200 {
			t.Errorf("%s: %d", article.Author, answer.Code)
		}
	}
}

func TestTheWebAPIAnswersWithArticlesAndAuthors(t *testing.T) {
	for version, test := range map[string]struct {
		flags []string
		want  int
	}{"1": {nil, 5}, "2": {[]string{"-amount=10"}, 10}} {
		answer := get(webAPIOf(t, servicetest.Configured(t, Articles()), servicetest.Configured(t, Authors()), test.flags...), path)
		entries := body[[]map[string]string](t, answer)
		if len(entries) != test.want {
			t.Errorf("version %s: got %d articles", version, len(entries))
		}
		for index, entry := range entries {
			article := written()[index]
			if entry["id"] != article.ID || entry["title"] != article.Title || entry["authorName"] != article.Author {
				t.Errorf("version %s: got %v, not %v", version, entry, article)
			}
			if len(entry) != 6 || entry["url"] == "" || entry["authorBlog"] == "" || entry["authorTwitter"] == "" {
				t.Errorf("version %s: got %v", version, entry)
			}
		}
	}
}

func TestAnAuthorThatCannotBeHadLeavesBlogAndTwitterEmpty(t *testing.T) {
	for percent, want := range map[string]int{"0": 0, "50": 5, "100": 10} {
		authors := servicetest.Configured(t, Authors(), "-fail-percent="+percent)
		answer := get(webAPIOf(t, servicetest.Configured(t, Articles()), authors, "-amount=10"), path)
		empty := 0
		for _, entry := range body[[]entry](t, answer) {
			if (entry.AuthorBlog == "") != (entry.AuthorTwitter == "") || entry.AuthorName == "" {
				t.Errorf("%s %%: got %+v", percent, entry)
			}
			if entry.AuthorBlog == "" {
				empty++
			}
		}
		if empty != want {
			t.Errorf("%s %%: %d articles are without blog and Twitter", percent, empty)
		}
	}
}

func TestWithoutArticlesTheAnswerIsTheLastListOrAnEmptyOne(t *testing.T) {
	var failing atomic.Bool
	failing.Store(true)
	webAPI := webAPIOf(t, failingWhen(&failing, servicetest.Configured(t, Articles())), servicetest.Configured(t, Authors()))
	if answer := get(webAPI, path); answer.Code != 200 || answer.Body.String() != "[]" {
		t.Errorf("before any list: %d %s", answer.Code, answer.Body)
	}
	failing.Store(false)
	list := get(webAPI, path).Body.String()
	failing.Store(true)
	if answer := get(webAPI, path); answer.Code != 200 || answer.Body.String() != list || list == "[]" {
		t.Errorf("after a list: %d %s", answer.Code, answer.Body)
	}
}

func TestAListWhoseCallerGaveUpIsNotKept(t *testing.T) {
	var failing atomic.Bool
	ctx, giveUp := context.WithCancel(context.Background())
	authors := http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) {
		giveUp()
		<-request.Context().Done()
	})
	webAPI := webAPIOf(t, failingWhen(&failing, servicetest.Configured(t, Articles())), authors)
	webAPI.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "GET", path, nil))
	failing.Store(true)
	if got := get(webAPI, path).Body.String(); got != "[]" {
		t.Errorf("got %s", got)
	}
}

func TestTooManyArticlesAreRefused(t *testing.T) {
	articles := http.HandlerFunc(func(answer http.ResponseWriter, _ *http.Request) {
		service.WriteJSON(answer, 200, make([]article, mostArticles+1))
	})
	authors := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("authors was called") })
	if got := get(webAPIOf(t, articles, authors), path).Body.String(); got != "[]" {
		t.Errorf("got %s", got)
	}
}

func TestTheCallsArePartOfTheTraceAndAskForWhatTheyShould(t *testing.T) {
	var mutex sync.Mutex
	seen := map[string]int{}
	recording := func(handler http.Handler) http.Handler {
		return http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
			mutex.Lock()
			seen[strings.Join([]string{request.URL.Path, request.Header.Get("x-b3-traceid"), request.Header.Get("qa"),
				request.Header.Get("user-agent"), request.URL.Query().Get("amount")}, " ")]++
			mutex.Unlock()
			handler.ServeHTTP(answer, request)
		})
	}
	webAPI := webAPIOf(t, recording(servicetest.Configured(t, Articles())), recording(servicetest.Configured(t, Authors())), "-forward-headers=qa")
	get(webAPI, path, "x-b3-traceid: 80f1", "qa: canary-test", "user-agent: Firefox", "cookie: a=1")
	want := map[string]int{
		"/articles/v1/getmultiple 80f1 canary-test web-api 5": 1, "/api/v1/getauthor 80f1 canary-test web-api ": 5,
	}
	if fmt.Sprint(seen) != fmt.Sprint(want) {
		t.Errorf("got %v", seen)
	}
}

func TestTheWebAPIDescribesItself(t *testing.T) {
	got := body[struct {
		OpenAPI string
		Paths   map[string]map[string]any
	}](t, get(servicetest.Configured(t, WebAPI()), "/openapi"))
	if got.OpenAPI != "3.0.3" || got.Paths[path]["get"] == nil || len(got.Paths) != 1 {
		t.Errorf("got %+v", got)
	}
}

func TestOtherPathsAndAmountsAreRefused(t *testing.T) {
	for _, of := range []func() service.Service{WebAPI, Articles, Authors} {
		if got := get(servicetest.Configured(t, of()), "/other").Code; got != 404 {
			t.Errorf("%s: %d", of().Name, got)
		}
	}
	for _, word := range []string{"-amount=0", "-amount=11", "-amount=many"} {
		if _, err := WebAPI().Configure([]string{word}, io.Discard); err == nil {
			t.Errorf("%s was accepted", word)
		}
	}
}
