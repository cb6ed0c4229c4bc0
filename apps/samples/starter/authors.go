package starter

import (
	"fmt"
	"net/http"

	"istio-canary/apps/internal/service"
)

// author is what the service authors knows of one.
type author struct {
	Name    string `json:"name"`
	Blog    string `json:"blog"`
	Twitter string `json:"twitter"`
}

var known = [...]author{
	{"Ada Example", "https://ada.example.com", "@ada_example"},
	{"Ben Example", "https://ben.example.com", "@ben_example"},
	{"Cleo Example", "https://cleo.example.com", "@cleo_example"},
}

// Authors answers with an author's blog and Twitter account.
func Authors() service.Service {
	return service.Service{
		Name:   "authors",
		Listen: ":3000",
		Handler: func(service.Tools) (http.Handler, error) {
			mux := http.NewServeMux()
			mux.HandleFunc("GET /api/v1/getauthor", getAuthor)
			return mux, nil
		},
	}
}

func getAuthor(answer http.ResponseWriter, request *http.Request) {
	name := request.URL.Query().Get("name")
	if name == "" {
		service.WriteError(answer, http.StatusBadRequest, "the query lacks the author's name; allowed: name=Ada%20Example")
		return
	}
	for _, author := range known {
		if author.Name == name {
			service.WriteJSON(answer, http.StatusOK, author)
			return
		}
	}
	service.WriteError(answer, http.StatusNotFound, fmt.Sprintf("there is no author %.100q", name))
}
