// Echo is an upstream for tests of routing: it answers each request with JSON of what it received.
//
// Headers of the request change the answer:
//
//	x-echo-status: 503                     answer with that status
//	x-echo-status: 503 times=2 key=abc     only to the first two requests of the key abc, then with 200
//	x-echo-delay: 300ms                    wait before the answer
//	x-echo-header: x-color: blue           add a header to the answer; may be repeated
//	x-echo-key: abc                        remember the request under the key abc
//
// Special paths: GET /_seen?key=abc lists the requests of a key, GET /_seen?prefix=a those of all keys with the prefix,
// by key; POST /_call sends a request from this pod (see call.go); GET /_health is for probes.
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
	version := flag.String("version", os.Getenv("ECHO_VERSION"), "version to report in answers (default: ECHO_VERSION)")
	grace := flag.Duration("grace", 20*time.Second, "how long running requests may take after SIGTERM")
	certificate := flag.String("certificate", "", "file of a TLS certificate; with it, only TLS is served")
	key := flag.String("key", "", "file of the certificate's key")
	authority := flag.String("client-authority", "", "file of the CA that must have issued callers' certificates")
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

// serve answers on all addresses until ctx ends, then waits up to grace for running requests. It serves TLS if security
// is set.
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
