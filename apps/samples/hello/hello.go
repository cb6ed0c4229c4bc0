// Package hello has the service of the sample hello-minikube.
package hello

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"

	"istio-canary/apps/internal/service"
)

// Minikube answers every path with the request, in the format of Kubernetes' echoserver 1.4, and the pod's name.
func Minikube() service.Service {
	return service.Service{
		Name:   "hello-minikube",
		Listen: ":8080",
		Handler: func(service.Tools) (http.Handler, error) {
			pod, _ := os.Hostname() // empty when the host name is unknown
			return echo(pod), nil
		},
	}
}

// echo does not use http.ServeMux, which redirects paths such as //a.
func echo(pod string) http.HandlerFunc {
	return func(answer http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		if err != nil {
			service.WriteError(answer, http.StatusBadRequest, err.Error())
			return
		}
		var text bytes.Buffer
		writeClient(&text, request)
		fmt.Fprintf(&text, "\nSERVER VALUES:\nserver_version=%s\npod=%s\n", runtime.Version(), pod)
		writeHeaders(&text, request)
		text.WriteString("\nBODY:\n")
		if len(body) == 0 {
			body = []byte("-no body in request-")
		}
		text.Write(body)
		answer.Header().Set("content-type", "text/plain; charset=utf-8")
		answer.Header().Set("x-content-type-options", "nosniff")
		_, _ = text.WriteTo(answer) // fails only when the caller has gone
	}
}

func writeClient(to io.Writer, request *http.Request) {
	client, _, err := net.SplitHostPort(request.RemoteAddr)
	if err != nil {
		client = request.RemoteAddr
	}
	query := request.URL.RawQuery
	if query == "" {
		query = "nil"
	}
	fmt.Fprintf(to, "CLIENT VALUES:\nclient_address=%s\ncommand=%s\nreal path=%s\nquery=%s\n",
		client, request.Method, request.RequestURI, query)
	fmt.Fprintf(to, "request_version=%d.%d\nrequest_uri=http://%s%s\n",
		request.ProtoMajor, request.ProtoMinor, hostAndPort(request), request.RequestURI)
}

// hostAndPort is the host that the client named, with the port on which the request arrived, as echoserver writes it.
func hostAndPort(request *http.Request) string {
	host := request.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if address, ok := request.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok {
		return net.JoinHostPort(strings.Trim(host, "[]"), fmt.Sprint(address.Port))
	}
	return host
}

func writeHeaders(to io.Writer, request *http.Request) {
	lines := []string{"host=" + request.Host}
	for name, values := range request.Header {
		lines = append(lines, strings.ToLower(name)+"="+strings.Join(values, ", "))
	}
	slices.Sort(lines)
	fmt.Fprintf(to, "\nHEADERS RECEIVED:\n%s\n", strings.Join(lines, "\n"))
}
