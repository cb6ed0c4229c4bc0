package starter

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"sync"

	"istio-canary/apps/internal/service"
)

const mostArticles = 10 // of one answer; as many calls of authors run at once

// entry is an article with its author.
type entry struct {
	ID            string `json:"id"`
	Title         string `json:"title"`
	URL           string `json:"url"`
	AuthorName    string `json:"authorName"`
	AuthorBlog    string `json:"authorBlog"`
	AuthorTwitter string `json:"authorTwitter"`
}

// WebAPI puts articles and their authors together. An author that cannot be had leaves the blog and the Twitter account
// empty; without articles, the answer is the last list that could be had, or else an empty one.
func WebAPI() service.Service {
	w := &webAPI{amount: 5, articles: "http://articles:8080", authors: "http://authors:3000", last: []entry{}}
	return service.Service{Name: "web-api", Listen: ":9080", Calls: true, Flags: w.flags, Handler: w.handler}
}

type webAPI struct {
	amount   int
	articles string
	authors  string
	service.Tools

	mutex sync.Mutex
	last  []entry
}

func (w *webAPI) flags(flags *flag.FlagSet) {
	flags.IntVar(&w.amount, "amount", w.amount, "number of articles: 5 in version 1, 10 in version 2")
	service.URLVar(flags, &w.articles, "articles-url", "address of articles")
	service.URLVar(flags, &w.authors, "authors-url", "address of authors")
}

func (w *webAPI) handler(tools service.Tools) (http.Handler, error) {
	if w.amount < 1 || w.amount > mostArticles {
		return nil, fmt.Errorf("-amount is %d; allowed: 1 to %d", w.amount, mostArticles)
	}
	w.Tools = tools
	mux := http.NewServeMux()
	mux.HandleFunc("GET /web-api/v1/getmultiple", w.getMultiple)
	mux.HandleFunc("GET /openapi", func(answer http.ResponseWriter, _ *http.Request) {
		service.WriteJSON(answer, http.StatusOK, openAPI())
	})
	return mux, nil
}

func (w *webAPI) getMultiple(answer http.ResponseWriter, request *http.Request) {
	service.WriteJSON(answer, http.StatusOK, w.entries(request.Context(), request.Header))
}

func (w *webAPI) entries(ctx context.Context, received http.Header) []entry {
	var articles []article
	address := fmt.Sprintf("%s/articles/v1/getmultiple?amount=%d", w.articles, w.amount)
	err := w.Calls.Get(ctx, received, address, &articles)
	if err == nil && len(articles) > mostArticles {
		err = errors.New("articles answered with more than it was asked for")
	}
	w.mutex.Lock()
	last := w.last
	w.mutex.Unlock()
	if err != nil {
		w.LogFailure(ctx, "the last list, because articles failed", err, received)
		return last
	}
	entries := w.withAuthors(ctx, received, articles)
	if ctx.Err() == nil { // otherwise the caller gave up, and the authors were not asked
		w.mutex.Lock()
		w.last = entries
		w.mutex.Unlock()
	}
	return entries
}

// withAuthors asks for each article's author; an author of several articles is asked for several times.
func (w *webAPI) withAuthors(ctx context.Context, received http.Header, articles []article) []entry {
	entries, failures := make([]entry, len(articles)), make([]error, len(articles))
	var asking sync.WaitGroup
	for index, article := range articles {
		asking.Go(func() {
			var found author
			address := w.authors + "/api/v1/getauthor?" + url.Values{"name": {article.Author}}.Encode()
			if failures[index] = w.Calls.Get(ctx, received, address, &found); failures[index] != nil {
				found = author{}
			}
			entries[index] = entry{
				ID: article.ID, Title: article.Title, URL: article.URL,
				AuthorName: article.Author, AuthorBlog: found.Blog, AuthorTwitter: found.Twitter,
			}
		})
	}
	asking.Wait()
	if err := errors.Join(failures...); err != nil {
		w.LogFailure(ctx, "authors are missing", err, received)
	}
	return entries
}
