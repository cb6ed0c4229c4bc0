package assets

import (
	"context"
	"errors"
	"flag"
	"net/http"
	"sync/atomic"
	"time"

	"istio-canary/apps/internal/service"
)

// Consumer posts events to the manager: an asset with what it reports. It makes up an event in each interval, and takes
// others at POST /events.
func Consumer() service.Service {
	c := &consumer{manager: managerURL, interval: 10 * time.Second}
	return service.Service{
		Name: "asset-consumer", Listen: ":8080", Calls: true, Flags: c.flags, Handler: c.handler, Work: c.work,
	}
}

type consumer struct {
	manager  string
	interval time.Duration
	posted   atomic.Int64
	failed   atomic.Int64
	service.Tools
}

// counts is the answer at the root.
type counts struct {
	Service string `json:"service"`
	Posted  int64  `json:"posted"`
	Failed  int64  `json:"failed"`
}

func (c *consumer) flags(flags *flag.FlagSet) {
	service.URLVar(flags, &c.manager, "manager-url", "address of asset-manager")
	flags.DurationVar(&c.interval, "interval", c.interval, "time between two events that it makes up; 0 for none")
}

func (c *consumer) handler(tools service.Tools) (http.Handler, error) {
	if c.interval < 0 {
		return nil, errors.New("-interval is negative; allowed: 0s or more")
	}
	c.Tools = tools
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(answer http.ResponseWriter, _ *http.Request) {
		service.WriteJSON(answer, http.StatusOK, counts{"asset-consumer", c.posted.Load(), c.failed.Load()})
	})
	mux.HandleFunc("POST /events", c.take)
	return mux, nil
}

// take answers 201 with the asset as the manager stored it, and 502 if the manager failed.
func (c *consumer) take(answer http.ResponseWriter, request *http.Request) {
	event, err := read(request.Body)
	if err == nil {
		err = event.check()
	}
	if err != nil {
		service.WriteError(answer, http.StatusBadRequest, err.Error())
		return
	}
	stored, err := c.post(request.Context(), request.Header, event)
	if err != nil {
		service.WriteError(answer, http.StatusBadGateway, err.Error())
		return
	}
	service.WriteJSON(answer, http.StatusCreated, stored)
}

func (c *consumer) post(ctx context.Context, received http.Header, event Asset) (Asset, error) {
	var stored Asset
	if err := c.Calls.Post(ctx, received, c.manager+"/assets", event, &stored); err != nil {
		c.failed.Add(1)
		return stored, err
	}
	c.posted.Add(1)
	return stored, nil
}

// work posts an event now and after each interval, until ctx ends.
func (c *consumer) work(ctx context.Context) {
	if c.interval == 0 {
		return
	}
	ticker := time.NewTicker(c.interval)
	defer ticker.Stop()
	for number := 0; ; number++ {
		event := madeUp(number)
		// An event that is being posted is finished: WithoutCancel; the client's time limit holds.
		if _, err := c.post(context.WithoutCancel(ctx), nil, event); err != nil {
			c.Log.Warn("the event was not posted", "asset", event.ID, "error", err.Error())
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// madeUp returns the event of this number: the seeds report in turn, each time a little more, from the start after ten.
func madeUp(number int) Asset {
	assets := seeds()
	event := assets[number%len(assets)]
	step := float64(number / len(assets) % 10)
	event.Temperature += step
	event.Current += step / 10
	return event
}
