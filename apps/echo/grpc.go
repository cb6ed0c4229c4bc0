package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// gRPC over HTTP/2 without a generated service: every method answers with one message, the JSON of what was received
// (gRPC: "gRPC over HTTP2"). Clients call with serializers of bytes. A request that is to fail (x-echo-status) gets
// UNAVAILABLE in place of 503 and 429, else UNKNOWN.

const (
	grpcType      = "application/grpc"
	healthPrefix  = "/grpc.health.v1.Health/"
	grpcOK        = 0
	grpcUnknown   = 2
	unimplemented = 12
	unavailable   = 14
	messageBytes  = 4 << 20 // limit of a message, as in most libraries
)

// healthy is the HealthCheckResponse with the status SERVING (gRPC: "Health Checking").
var healthy = []byte{0x08, 0x01}

func isGRPC(request *http.Request) bool {
	return strings.HasPrefix(request.Header.Get("content-type"), grpcType)
}

// answerGRPC answers a call. Like every gRPC server it refuses HTTP/1.1, which has no trailers that proxies keep.
func (e *echo) answerGRPC(answer http.ResponseWriter, request *http.Request) {
	if request.ProtoMajor < 2 {
		http.Error(answer, "gRPC needs HTTP/2", http.StatusHTTPVersionNotSupported)
		return
	}
	order, err := parseOrder(request.Header)
	if err != nil {
		finishGRPC(answer, nil, grpcUnknown, err.Error())
		return
	}
	size, err := readMessages(request.Body)
	if err != nil {
		finishGRPC(answer, nil, grpcUnknown, err.Error())
		return
	}
	if method, isHealth := strings.CutPrefix(request.URL.Path, healthPrefix); isHealth {
		if method != "Check" {
			finishGRPC(answer, nil, unimplemented, "only Check is served")
			return
		}
		finishGRPC(answer, healthy, grpcOK, "")
		return
	}
	seen, isWaiting := e.obey(answer, request, order, size)
	if !isWaiting {
		return
	}
	switch seen.Status {
	case http.StatusOK:
		message, _ := json.Marshal(seen) // a struct of texts and numbers
		finishGRPC(answer, message, grpcOK, "")
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		finishGRPC(answer, nil, unavailable, "as asked")
	default:
		finishGRPC(answer, nil, grpcUnknown, fmt.Sprintf("as asked: %d", seen.Status))
	}
}

// finishGRPC writes a message and the status of the call after it as trailers. Without a message the status is in the
// headers, which end the answer ("Trailers-Only", gRPC: "gRPC over HTTP2"): proxies try a call again by no other status.
func finishGRPC(answer http.ResponseWriter, message []byte, status int, text string) {
	header, prefix := answer.Header(), ""
	header.Set("content-type", grpcType)
	if message != nil {
		answer.WriteHeader(http.StatusOK)
		frame := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
		_, _ = answer.Write(append(frame, message...)) // fails only when the caller has gone
		prefix = http.TrailerPrefix
	}
	header.Set(prefix+"grpc-status", strconv.Itoa(status))
	if text != "" {
		header.Set(prefix+"grpc-message", text)
	}
	if message == nil {
		answer.WriteHeader(http.StatusOK)
	}
}

// readMessages reads all messages of a call and returns their size.
func readMessages(body io.Reader) (int64, error) {
	var size int64
	prefix := make([]byte, 5)
	for {
		if _, err := io.ReadFull(body, prefix); errors.Is(err, io.EOF) {
			return size, nil
		} else if err != nil {
			return size, err
		}
		length := int64(binary.BigEndian.Uint32(prefix[1:]))
		if length > messageBytes {
			return size, fmt.Errorf("the message is larger than %d MiB", messageBytes>>20)
		}
		if read, err := io.CopyN(io.Discard, body, length); err != nil {
			return size + read, err
		}
		size += length
	}
}
