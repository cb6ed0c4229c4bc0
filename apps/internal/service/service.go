// Package service is what the sample services have in common: flags, logs, health, limits, and the graceful stop.
package service

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"istio-canary/apps/internal/call"
	"istio-canary/apps/internal/faults"
	"istio-canary/apps/internal/server"
)

const (
	answerTime  = time.Minute      // for an answer, without -delay
	bodyTime    = 10 * time.Second // for a request's body to arrive
	longestCall = 20 * time.Second // two calls in a row fit into answerTime
	headerBytes = 64 << 10         // limit of a request's headers; Envoy's is 60 KiB
)

// Service is one of the sample services.
type Service struct {
	Name   string
	Listen string // default of -listen
	Calls  bool   // calls other services
	// Flags adds the flags that only this service has; nil: none.
	Flags func(*flag.FlagSet)
	// Handler is called once, after the flags are parsed. Requests for /health do not reach it.
	Handler func(Tools) (http.Handler, error)
	// Work is what the service does without a request, until the context ends; nil: nothing.
	Work func(context.Context)
}

// Tools are what a service is given.
type Tools struct {
	Calls *call.Client // nil unless Service.Calls
	Log   *slog.Logger
}

// App is a service with its flags, ready to run.
type App struct {
	Log      *slog.Logger
	service  Service
	handler  http.Handler
	listen   string
	grace    time.Duration
	prefix   prefix
	delay    time.Duration
	failing  faults.Share
	timeout  time.Duration
	forwards headerNames
	bodyTime time.Duration
}

// Configure reads the flags, and the variables of the environment that give the addresses of other services. Logs go to
// `logs` as JSON. The error is flag.ErrHelp if help is asked for.
func (s Service) Configure(words []string, logs io.Writer) (*App, error) {
	log := slog.New(slog.NewJSONHandler(logs, nil)).With("service", s.Name)
	app := &App{service: s, Log: log, bodyTime: bodyTime}
	flags := app.flags()
	if err := setFromEnvironment(flags, os.LookupEnv); err != nil {
		return nil, err
	}
	if err := flags.Parse(words); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	for name, value := range map[string]time.Duration{"grace": app.grace, "delay": app.delay} {
		if value < 0 {
			return nil, fmt.Errorf("-%s is %s; allowed: 0s or more", name, value)
		}
	}
	if s.Calls && (app.timeout <= 0 || app.timeout > longestCall) {
		return nil, fmt.Errorf("-timeout is %s; allowed: more than 0s, at most %s", app.timeout, longestCall)
	}
	tools := Tools{Log: app.Log}
	if s.Calls {
		tools.Calls = call.New(s.Name, app.timeout, app.forwards)
	}
	var err error
	app.handler, err = s.Handler(tools)
	return app, err
}

// Usage writes the service's flags to `to`.
func (s Service) Usage(to io.Writer) {
	flags := (&App{service: s}).flags()
	flags.SetOutput(to)
	fmt.Fprintf(to, "usage: samples %s [flags]\n", s.Name)
	flags.PrintDefaults()
}

func (a *App) flags() *flag.FlagSet {
	flags := flag.NewFlagSet(a.service.Name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&a.listen, "listen", a.service.Listen, "address to listen on")
	flags.DurationVar(&a.grace, "grace", 20*time.Second, "how long running requests may take after SIGTERM")
	flags.Var(&a.prefix, "prefix", "path under which the service answers as well, for a proxy that does not rewrite it")
	flags.DurationVar(&a.delay, "delay", 0, "wait before each answer, except to /health")
	flags.Var(&a.failing, "fail-percent", "share of the requests to answer with 503, evenly spread, except to /health")
	if a.service.Calls {
		flags.DurationVar(&a.timeout, "timeout", 5*time.Second, "how long a call of another service may take, at most 20s")
		flags.Var(&a.forwards, "forward-headers", "headers to pass on to calls beside the trace's, with ',' between them")
	}
	if a.service.Flags != nil {
		a.service.Flags(flags)
	}
	return flags
}

// Run answers requests until ctx ends and running requests and work are finished.
func (a *App) Run(ctx context.Context) error {
	listeners, err := server.Listen(a.listen)
	if err != nil {
		return err
	}
	return a.serve(ctx, listeners)
}

func (a *App) serve(ctx context.Context, listeners []net.Listener) error {
	answering := server.New(a)
	answering.WriteTimeout = a.delay + answerTime
	answering.MaxHeaderBytes = headerBytes
	answering.ErrorLog = slog.NewLogLogger(a.Log.Handler(), slog.LevelWarn)

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	worked := make(chan struct{})
	go func() {
		defer close(worked)
		if a.service.Work != nil {
			a.service.Work(ctx)
		}
	}()
	err := server.Serve(ctx, answering, listeners, a.grace)
	stop()
	<-worked
	return err
}
