// Package server runs an HTTP server until it is told to stop, and lets running requests finish.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	headerTime = 10 * time.Second // for a request's headers to arrive
	// idleTime is longer than Envoy keeps an idle connection (1 h): closing one first could lose a request on its way.
	idleTime = 2 * time.Hour
)

// New returns a server of the handler. Its time limits suit a server behind Envoy. It has no ReadTimeout, which would
// also end the context of requests that are answered later.
func New(handler http.Handler) *http.Server {
	return &http.Server{Handler: handler, ReadHeaderTimeout: headerTime, IdleTimeout: idleTime}
}

// Listen opens all addresses, such as ":8080", or none.
func Listen(addresses ...string) ([]net.Listener, error) {
	var listeners []net.Listener
	for _, address := range addresses {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			for _, open := range listeners {
				open.Close()
			}
			if errors.Is(err, fs.ErrPermission) {
				err = fmt.Errorf("%w\n    fix: listen on a port above 1023, such as -listen=:8080", err)
			}
			return nil, err
		}
		listeners = append(listeners, listener)
	}
	return listeners, nil
}

// Serve answers on the listeners until ctx ends, then waits up to grace for running requests. It serves TLS if the
// server's TLSConfig is set.
func Serve(ctx context.Context, server *http.Server, listeners []net.Listener, grace time.Duration) error {
	security := server.TLSConfig // the server sets it when it starts to serve HTTP/2
	failed := make(chan error, len(listeners))
	var serving sync.WaitGroup
	for _, listener := range listeners {
		if security != nil {
			listener = tls.NewListener(listener, security)
		}
		slog.Info("listening", "address", listener.Addr().String())
		serving.Go(func() {
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				failed <- err
			}
		})
	}
	select {
	case err := <-failed:
		server.Close()
		serving.Wait()
		return err
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	err := server.Shutdown(drain)
	if errors.Is(err, context.DeadlineExceeded) {
		server.Close()
		err = fmt.Errorf("requests still running after %s were cut", grace)
	}
	serving.Wait()
	return err
}
