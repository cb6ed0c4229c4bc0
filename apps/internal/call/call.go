// Package call lets a service call others: JSON answers, limited in size and time, as part of the caller's trace.
package call

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"istio-canary/apps/internal/trace"
)

const answerBytes = 4 << 20 // limit of an answer

// Client calls other services. Of the headers that its own caller sent, it passes on the trace's and those in
// `forwarded`; its user agent is the service's name, unless that header is one of them.
type Client struct {
	service   string
	forwarded []string
	http      http.Client
}

// New returns a client of the service with this name. A call may take as long as `timeout`.
func New(service string, timeout time.Duration, forwarded []string) *Client {
	return &Client{
		service:   service,
		forwarded: forwarded,
		http: http.Client{
			Timeout:       timeout,
			Transport:     &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Get reads the JSON at the address into `into`. `received` are the headers of the request that led to this call.
func (c *Client) Get(ctx context.Context, received http.Header, address string, into any) error {
	return c.send(ctx, received, http.MethodGet, address, nil, into)
}

// Post sends the content as JSON to the address, and reads the answer into `into`.
func (c *Client) Post(ctx context.Context, received http.Header, address string, content, into any) error {
	body, err := json.Marshal(content)
	if err != nil {
		return err
	}
	return c.send(ctx, received, http.MethodPost, address, body, into)
}

// send fails unless the answer has a status from 200 to 299 and is JSON that fits `into`.
func (c *Client) send(ctx context.Context, received http.Header, method, address string, body []byte, into any) error {
	request, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header = trace.PassedOn(received, c.forwarded...)
	request.Header.Set("accept", "application/json")
	if request.Header.Get("user-agent") == "" {
		request.Header.Set("user-agent", c.service)
	}
	if body != nil {
		request.Header.Set("content-type", "application/json")
	}
	response, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(io.LimitReader(response.Body, answerBytes+1))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, address, err)
	}
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return fmt.Errorf("%s %s: answered %s: %.200q", method, address, response.Status, content)
	}
	if len(content) > answerBytes {
		return fmt.Errorf("%s %s: the answer is larger than %d bytes", method, address, answerBytes)
	}
	if err := json.Unmarshal(content, into); err != nil {
		return fmt.Errorf("%s %s: the answer is not the expected JSON: %w", method, address, err)
	}
	return nil
}
