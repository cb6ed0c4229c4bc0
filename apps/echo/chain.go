package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"istio-canary/apps/internal/trace"
)

// hop is one service that a request to /chain reached. The answer is the list of hops, the answering service first.
type hop struct {
	Service string `json:"service"`
	Version string `json:"version"`
	Pod     string `json:"pod"`
	Path    string `json:"path"`
	Failure string `json:"failure,omitempty"` // why the call of the next service failed
}

const chainBytes = 1 << 20 // limit of the next service's answer

var chainClient = &http.Client{
	Timeout: callSeconds * time.Second,
	// Without compression, no Accept-Encoding is added.
	Transport:     &http.Transport{DialContext: dialer.DialContext, DisableCompression: true, MaxIdleConnsPerHost: 64},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// setNext sets the address that a request to /chain leads to.
func (e *echo) setNext(text string) error {
	address, err := url.Parse(text)
	if err != nil {
		return err
	}
	if address.Scheme != "http" || address.Host == "" {
		return errors.New("it is not an HTTP address such as http://b.shop:8080/chain")
	}
	e.next = text
	return nil
}

// answerChain calls the next service, if there is one and this one is not to fail, and answers with the hops.
func (e *echo) answerChain(answer http.ResponseWriter, request *http.Request, seen received) {
	own := hop{Service: e.service, Version: seen.Version, Pod: seen.Pod, Path: seen.Path}
	if e.next == "" || seen.Status != http.StatusOK {
		writeJSON(answer, seen.Status, []hop{own})
		return
	}
	status, hops, err := callNext(request.Context(), e.next, request.Header)
	if err != nil {
		own.Failure = err.Error()
	}
	writeJSON(answer, status, append([]hop{own}, hops...))
}

// callNext returns the status of the next service and its hops. The status is 502 if it cannot be reached, does not
// answer in time, or answers 200 with something else than hops. The error is set unless the status is 200.
func callNext(ctx context.Context, address string, received http.Header) (int, []hop, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return http.StatusBadGateway, nil, err
	}
	request.Header = trace.PassedOn(received)
	request.Header["User-Agent"] = nil // otherwise Go adds its own
	response, err := chainClient.Do(request)
	if err != nil {
		return http.StatusBadGateway, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, chainBytes))
	if err != nil {
		return http.StatusBadGateway, nil, fmt.Errorf("%s: %w", address, err)
	}
	var hops []hop
	if json.Unmarshal(body, &hops) != nil || len(hops) == 0 { // such as a proxy's answer, whose text has the reason
		status := response.StatusCode
		if status == http.StatusOK {
			status = http.StatusBadGateway
		}
		return status, nil, fmt.Errorf("%s answered %s without hops: %.200q", address, response.Status, body)
	}
	if response.StatusCode != http.StatusOK {
		return response.StatusCode, hops, fmt.Errorf("%s answered %s", address, response.Status)
	}
	return http.StatusOK, hops, nil
}
