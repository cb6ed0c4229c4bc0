package cloudnative

import (
	"flag"
	"fmt"
	"html"
	"io"
	"net/http"
	"strings"

	"istio-canary/apps/internal/service"
)

// Frontend is a page that links the other services. Without their addresses, the links lead to the page's own host.
func Frontend() service.Service {
	front := &frontend{}
	return service.Service{Name: "frontend", Listen: ":80", Flags: front.flags, Handler: front.handler}
}

type frontend struct {
	java   string
	golang string
}

func (f *frontend) flags(flags *flag.FlagSet) {
	service.URLVar(flags, &f.java, "java-url", "address at which browsers reach java-service, such as http://localhost:9191")
	service.URLVar(flags, &f.golang, "go-url", "address at which browsers reach go-service")
}

func (f *frontend) handler(service.Tools) (http.Handler, error) {
	content := f.page()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(answer http.ResponseWriter, _ *http.Request) {
		answer.Header().Set("content-type", "text/html; charset=utf-8")
		_, _ = io.WriteString(answer, content) // fails only when the caller has gone
	})
	return mux, nil
}

func (f *frontend) page() string {
	links := [][2]string{
		{f.java + "/javaservice", "Java service"},
		{f.java + "/javaserviceroute", "Java service, other route"},
		{f.golang + "/goservice", "Go service"},
		{f.golang + "/goserviceroute", "Go service, other route"},
	}
	var items strings.Builder
	for _, link := range links {
		fmt.Fprintf(&items, "<li><a href=\"%s\">%s</a></li>\n", html.EscapeString(link[0]), link[1])
	}
	return `<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>Cloud-native services</title></head>
<body>
<h1>Cloud-native services</h1>
<ul>
` + items.String() + `</ul>
</body>
</html>
`
}
