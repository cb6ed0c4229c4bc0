// Echo is an upstream for tests of routing: it answers each request with JSON of what it received.
//
// Headers of the request change the answer:
//
//	x-echo-status: 503                     answer with that status
//	x-echo-status: 503 times=2 key=abc     only to the first two requests of the key abc, then with 200
//	x-echo-delay: 300ms                    wait before the answer; with 1h, until the caller gives up
//	x-echo-header: x-color: blue           add a header to the answer; may be repeated
//	x-echo-key: abc                        remember the request under the key abc
//
// Flags do so for all requests; a request's own status and delay come before them (see pace.go for those that are slow).
//
// A call of gRPC is answered, whatever its method, with one message: the same JSON as text. 503 is the status UNAVAILABLE
// there. grpc.health.v1.Health/Check says SERVING. With -lines, TCP connections to another address are answered too:
// each line with the version, the pod and the line.
//
// Special paths: GET /_seen?key=abc lists the requests of a key, GET /_seen?prefix=a those of all keys with the prefix,
// by key; POST /_call sends a request from this pod (see call.go); GET /_health is for probes.
//
// /chain calls the service at -next, which may call a further one, and answers with the list of these hops:
//
//	[{"service": "a", "version": "v1", "pod": "a-1", "path": "/chain"}, {"service": "b", …}]
//
// Of the request's headers, only those of tracing are passed on (see chain.go). The status is that of the next service;
// it is 502 if that cannot be reached, does not answer within 30 s, or answers 200 with something else. A hop whose next
// one failed has the reason in "failure". A service that itself is to fail does not call the next one. A chain must not
// lead back to one of its services: it would only end after the 30 s.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"istio-canary/apps/internal/server"
)

func main() {
	handler := newEcho("")
	handler.addFlags(flag.CommandLine)
	listen := flag.String("listen", ":8080", "addresses to listen on, with ',' between them")
	grace := flag.Duration("grace", 20*time.Second, "how long running requests may take after SIGTERM")
	lines := flag.String("lines", "", "address for TCP connections, on which each line is answered with the version")
	certificate := flag.String("certificate", "", "file of a TLS certificate; with it, only TLS is served")
	key := flag.String("key", "", "file of the certificate's key")
	authority := flag.String("client-authority", "", "file of the CA that must have issued callers' certificates")
	flag.Parse()
	if err := unusable(flag.CommandLine, handler.pace, *grace); err != nil {
		log.Fatalf("%v\n    fix: echo -help lists the flags", err)
	}

	upstream := upstream(handler)
	var err error
	if upstream.TLSConfig, err = tlsFrom(*certificate, *key, *authority); err != nil {
		log.Fatal(err)
	}
	listeners, err := server.Listen(strings.Split(*listen, ",")...)
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if *lines != "" {
		listener, err := server.Listen(*lines)
		if err != nil {
			log.Fatal(err)
		}
		go func() {
			if err := handler.serveLines(ctx, listener[0]); err != nil {
				log.Fatal(err)
			}
		}()
	}
	if err := server.Serve(ctx, upstream, listeners, *grace); err != nil {
		log.Fatal(err)
	}
}

// upstream returns the server of an echo. It speaks HTTP/1.1 and, as gRPC needs, HTTP/2 also without TLS.
func upstream(handler *echo) *http.Server {
	upstream := server.New(handler)
	upstream.MaxHeaderBytes = headerBytes
	upstream.Protocols = new(http.Protocols)
	upstream.Protocols.SetHTTP1(true)
	upstream.Protocols.SetHTTP2(true)
	upstream.Protocols.SetUnencryptedHTTP2(true)
	return upstream
}

// unusable returns what is wrong with the arguments: those after the first that is no flag would be ignored.
func unusable(flags *flag.FlagSet, pace *pace, grace time.Duration) error {
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case grace < 0:
		return fmt.Errorf("-grace is %s; allowed: 0s or more", grace)
	}
	return pace.unusable()
}

// addFlags adds the flags for what the service answers.
func (e *echo) addFlags(flags *flag.FlagSet) {
	version, service := os.Getenv("ECHO_VERSION"), os.Getenv("ECHO_SERVICE")
	flags.StringVar(&e.version, "version", version, "version to report in answers (default: ECHO_VERSION)")
	flags.StringVar(&e.service, "service", service, "service to report in hops (default: ECHO_SERVICE)")
	flags.Func("next", "address that a request to /chain leads to, such as http://b.shop:8080/chain", e.setNext)
	e.pace.addFlags(flags)
	flags.Var(&e.failing, "fail-percent", "share of the requests to answer with 503, evenly spread: with 20, every fifth")
	flags.Func("fail-status", "status of these answers, 400 to 599 (default: 503)", e.setFails)
	flags.Func("fail-seed", "with it, each request fails at random, with the same probability", e.failing.SetSeed)
}

// setFails sets the status of the answers that fail by -fail-percent.
func (e *echo) setFails(text string) error {
	status, err := strconv.Atoi(text)
	if err != nil || status < 400 || status > 599 {
		return fmt.Errorf("%q is no status of an error; allowed: 400 to 599", text)
	}
	e.fails = status
	return nil
}
