package cloudnative

import (
	"io"
	"net/http"

	"istio-canary/apps/internal/service"
)

// GoService answers with its name as text.
func GoService() service.Service {
	return service.Service{
		Name:   "go-service",
		Listen: ":8079",
		Handler: func(service.Tools) (http.Handler, error) {
			mux := http.NewServeMux()
			mux.HandleFunc("GET /goservice", text("Go Service"))
			mux.HandleFunc("GET /goserviceroute", text("Go Service Route"))
			return mux, nil
		},
	}
}

func text(content string) http.HandlerFunc {
	return func(answer http.ResponseWriter, _ *http.Request) {
		answer.Header().Set("content-type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(answer, content) // fails only when the caller has gone
	}
}
