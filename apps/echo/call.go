package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// call is a request to send from this pod: POST /_call. It is sent exactly as given: the path is not cleaned, header
// names keep their case, only the headers that HTTP/1.1 requires are added, and redirects are not followed.
type call struct {
	Method  string      `json:"method"`
	Address string      `json:"address"` // "name:port" or "10.1.2.3:80", to connect to; local addresses only
	URI     string      `json:"uri"`     // path and query
	Host    string      `json:"host"`    // default: the address
	Headers [][2]string `json:"headers"`
}

// callAnswer is the answer to a call.
type callAnswer struct {
	Status  int         `json:"status"`
	Headers [][2]string `json:"headers"` // names in lower case
	Body    string      `json:"body"`
}

const (
	callSeconds = 30
	callBytes   = 4 << 20 // limit of a call in JSON, and of its answer
)

var dialer = &net.Dialer{Timeout: 5 * time.Second, Control: onlyLocal}

// onlyLocal keeps callers from reaching external addresses through this pod.
func onlyLocal(_, address string, _ syscall.RawConn) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); ip == nil || !(ip.IsPrivate() || ip.IsLoopback()) {
		return fmt.Errorf("%s is not a local address", host)
	}
	return nil
}

func serveCall(answer http.ResponseWriter, request *http.Request) {
	var outgoing call
	if err := json.NewDecoder(http.MaxBytesReader(answer, request.Body, callBytes)).Decode(&outgoing); err != nil {
		http.Error(answer, "the body is not a call in JSON: "+err.Error(), http.StatusBadRequest)
		return
	}
	result, err := outgoing.send(request)
	if err != nil {
		http.Error(answer, err.Error(), http.StatusBadGateway)
		return
	}
	writeJSON(answer, http.StatusOK, result)
}

// send writes the request to the connection: Go's HTTP client would clean the path and change the case of header names.
func (c call) send(request *http.Request) (callAnswer, error) {
	connection, err := dialer.DialContext(request.Context(), "tcp", c.Address)
	if err != nil {
		return callAnswer{}, err
	}
	defer connection.Close()
	if err := connection.SetDeadline(time.Now().Add(callSeconds * time.Second)); err != nil {
		return callAnswer{}, err
	}
	if _, err := connection.Write(c.bytes()); err != nil {
		return callAnswer{}, err
	}
	response, err := http.ReadResponse(bufio.NewReader(connection), &http.Request{Method: c.Method})
	if err != nil {
		return callAnswer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, callBytes+1))
	if err == nil && len(body) > callBytes {
		err = errors.New("the answer is larger than 4 MiB")
	}
	if err != nil {
		return callAnswer{}, err
	}
	result := callAnswer{Status: response.StatusCode, Headers: [][2]string{}, Body: string(body)}
	for name, values := range response.Header {
		for _, value := range values {
			result.Headers = append(result.Headers, [2]string{strings.ToLower(name), value})
		}
	}
	return result, nil
}

func (c call) bytes() []byte {
	var text bytes.Buffer
	host := c.Host
	if host == "" {
		host = c.Address
	}
	fmt.Fprintf(&text, "%s %s HTTP/1.1\r\nHost: %s\r\n", c.Method, c.URI, host)
	for _, header := range c.Headers {
		fmt.Fprintf(&text, "%s: %s\r\n", header[0], header[1])
	}
	text.WriteString("\r\n")
	return text.Bytes()
}
