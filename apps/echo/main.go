// Echo is an upstream for tests of routing: it answers each request with JSON of what it received.
//
// A request's own headers say what else to do:
//
//	x-echo-status: 503                     answer with that status
//	x-echo-status: 503 times=2 key=abc     only to the first two requests of the key abc, then with 200
//	x-echo-delay: 300ms                    wait before the answer
//	x-echo-header: x-color: blue           add a header to the answer; may be given several times
//	x-echo-key: abc                        remember the request under the key abc
//
// Paths of its own: GET /_seen?key=abc lists the requests of a key, GET /_seen?prefix=a those of all keys that begin so, by
// key; POST /_call sends a request from here (see call.go), and GET /_health is for probes.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	listen := flag.String("listen", ":8080", "addresses to listen on, with ',' between them")
	version := flag.String("version", os.Getenv("ECHO_VERSION"), "what answers name as the version (or ECHO_VERSION)")
	grace := flag.Duration("grace", 20*time.Second, "how long requests may go on after SIGTERM")
	certificate := flag.String("certificate", "", "file of a TLS certificate; with it, nothing but TLS is spoken")
	key := flag.String("key", "", "file of the certificate's key")
	authority := flag.String("client-authority", "", "file of the authority of callers' certificates, if they need any")
	flag.Parse()

	security, err := tlsFrom(*certificate, *key, *authority)
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := serve(ctx, strings.Split(*listen, ","), security, newEcho(*version), *grace); err != nil {
		log.Fatal(err)
	}
}

// serve answers on all addresses until ctx ends, and then lets the requests that are under way finish. With security it
// speaks TLS.
func serve(
	ctx context.Context, addresses []string, security *tls.Config, handler http.Handler, grace time.Duration,
) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, len(addresses))
	var serving sync.WaitGroup
	for _, address := range addresses {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			return err
		}
		if security != nil {
			listener = tls.NewListener(listener, security)
		}
		log.Printf("listening on %s", listener.Addr())
		serving.Go(func() {
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				failed <- err
			}
		})
	}
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	err := server.Shutdown(drain)
	serving.Wait()
	return err
}
