package main

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// order is the answer that a request's headers ask for. With a key, only the first `times` answers have `status`.
type order struct {
	status  int // 0: not asked for
	times   int
	key     string
	delay   *time.Duration // nil: not asked for
	headers [][2]string
}

// parseOrder reads the headers.
func parseOrder(header http.Header) (order, error) {
	var asked order
	if text := header.Get("x-echo-status"); text != "" {
		if err := asked.parseStatus(text); err != nil {
			return asked, err
		}
	}
	if text := header.Get("x-echo-delay"); text != "" {
		delay, err := time.ParseDuration(text)
		if err != nil {
			return asked, fmt.Errorf("x-echo-delay: %w", err)
		}
		asked.delay = &delay
	}
	for _, text := range header.Values("x-echo-header") {
		name, value, found := strings.Cut(text, ":")
		if !found {
			return asked, fmt.Errorf("x-echo-header: %q is not of the form name: value", text)
		}
		asked.headers = append(asked.headers, [2]string{strings.TrimSpace(name), strings.TrimSpace(value)})
	}
	return asked, nil
}

// parseStatus reads "503" or "503 times=2 key=abc".
func (o *order) parseStatus(text string) error {
	words := strings.Fields(text)
	if len(words) == 0 {
		return fmt.Errorf("x-echo-status: %q is not a status from 200 to 599", text)
	}
	status, err := strconv.Atoi(words[0])
	if err != nil || status < 200 || status > 599 {
		return fmt.Errorf("x-echo-status: %q is not a status from 200 to 599", words[0])
	}
	o.status = status
	for _, word := range words[1:] {
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case "times":
			if o.times, err = strconv.Atoi(value); err != nil {
				return fmt.Errorf("x-echo-status: times: %w", err)
			}
		case "key":
			o.key = value
		default:
			return fmt.Errorf("x-echo-status: %q is neither times= nor key=", word)
		}
	}
	if (o.times > 0) != (o.key != "") {
		return fmt.Errorf("x-echo-status: times and key must be given together: 503 times=2 key=abc")
	}
	return nil
}
