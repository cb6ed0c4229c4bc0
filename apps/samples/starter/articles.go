// Package starter has the services of the sample starter: articles, their authors, and the API that puts both together.
package starter

import (
	"fmt"
	"net/http"
	"strconv"

	"istio-canary/apps/internal/service"
)

// article is what the service articles knows of one.
type article struct {
	ID     string `json:"id"`
	Title  string `json:"title"`
	URL    string `json:"url"`
	Author string `json:"author"`
}

// Articles answers with the latest articles, the latest first.
func Articles() service.Service {
	return service.Service{
		Name:   "articles",
		Listen: ":8080",
		Handler: func(service.Tools) (http.Handler, error) {
			mux := http.NewServeMux()
			mux.HandleFunc("GET /articles/v1/getmultiple", getArticles)
			return mux, nil
		},
	}
}

// getArticles answers with as many articles as the query's amount says, or with all if there are fewer.
func getArticles(answer http.ResponseWriter, request *http.Request) {
	articles := written()
	if text := request.URL.Query().Get("amount"); text != "" {
		amount, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			reason := fmt.Sprintf("amount is %.20q; allowed: a whole number from 0 on", text)
			service.WriteError(answer, http.StatusBadRequest, reason)
			return
		}
		articles = articles[:min(int(amount), len(articles))]
	}
	service.WriteJSON(answer, http.StatusOK, articles)
}

// written returns all articles.
func written() []article {
	var articles []article
	for number, title := range [...]string{
		"One percent of the users see it first",
		"What a retry budget is good for",
		"A timeout for every call",
		"Mutual TLS without a line of code",
		"Routing a release by a header",
		"Breaking a service on purpose",
		"Reading a trace from end to end",
		"Who may call whom",
		"A gateway for many teams",
		"Why we run a service mesh",
	} {
		id := 10 - number
		articles = append(articles, article{
			ID:     strconv.Itoa(id),
			Title:  title,
			URL:    fmt.Sprintf("https://blog.example.com/articles/%d", id),
			Author: known[number%len(known)].Name,
		})
	}
	return articles
}
