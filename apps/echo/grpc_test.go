package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"istio-canary/apps/internal/server"
)

// grpcClient speaks HTTP/2 without TLS, as gRPC clients do.
func grpcClient() *http.Client {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Client{Transport: &http.Transport{Protocols: protocols}}
}

// listening serves an echo with these flags as main does, and returns its address.
func listening(t *testing.T, words ...string) string {
	t.Helper()
	return listeningWith(t, configured(t, words...))
}

func listeningWith(t *testing.T, handler *echo) string {
	t.Helper()
	listeners, err := server.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- server.Serve(ctx, upstream(handler), listeners, 0) }()
	t.Cleanup(func() {
		stop()
		<-done
	})
	return "http://" + listeners[0].Addr().String()
}

func framed(message string) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
}

func calledByGRPC(t *testing.T, address, path string, body []byte, headers ...string) (*http.Response, []byte) {
	t.Helper()
	request, err := http.NewRequest("POST", address+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("content-type", "application/grpc")
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		request.Header.Set(name, value)
	}
	answer, err := grpcClient().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, content
}

func TestACallOfGRPCIsAnsweredWithWhatWasReceived(t *testing.T) {
	answer, content := calledByGRPC(t, listening(t, "-version=v2"), "/cart.v1.Cart/Add", framed("hello"), "x-user: anna")
	if answer.Trailer.Get("grpc-status") != "0" || answer.Header.Get("content-type") != "application/grpc" {
		t.Fatalf("%v %v", answer.Header, answer.Trailer)
	}
	var seen received
	if err := json.Unmarshal(content[5:], &seen); err != nil {
		t.Fatal(err)
	}
	if int(binary.BigEndian.Uint32(content[1:5])) != len(content)-5 {
		t.Errorf("the frame has another length than %d", len(content)-5)
	}
	if seen.Version != "v2" || seen.Path != "/cart.v1.Cart/Add" || seen.Protocol != "HTTP/2.0" || seen.BodyBytes != 5 {
		t.Errorf("got %+v", seen)
	}
	if strings.Join(seen.Headers["x-user"], "") != "anna" {
		t.Errorf("got %v", seen.Headers)
	}
}

func TestAFailureOfGRPCIsAStatusOfTheCall(t *testing.T) {
	address := listening(t)
	for asked, want := range map[string]string{"503": "14", "429": "14", "500": "2"} {
		answer, content := calledByGRPC(t, address, "/a.B/C", framed(""), "x-echo-status: "+asked)
		got := answer.Header.Get("grpc-status")
		if got != want || answer.StatusCode != 200 || len(content) != 0 || len(answer.Trailer) != 0 {
			t.Errorf("%s: %d with grpc-status %q, %d bytes and %v", asked, answer.StatusCode, got, len(content), answer.Trailer)
		}
	}
}

func TestTheHealthOfGRPCIsServing(t *testing.T) {
	answer, content := calledByGRPC(t, listening(t), "/grpc.health.v1.Health/Check", framed(""))
	if !bytes.Equal(content, []byte{0, 0, 0, 0, 2, 8, 1}) || answer.Trailer.Get("grpc-status") != "0" {
		t.Errorf("%v with %v", content, answer.Trailer)
	}
}

func TestGRPCIsRefusedOverHTTP1(t *testing.T) {
	answer := ask(t, configured(t), "POST", "/a.B/C", "content-type: application/grpc")
	if answer.Code != http.StatusHTTPVersionNotSupported {
		t.Errorf("got %d", answer.Code)
	}
}

func TestABrokenMessageIsAnError(t *testing.T) {
	answer, _ := calledByGRPC(t, listening(t), "/a.B/C", []byte{0, 0, 0, 0, 9, 1})
	if answer.Header.Get("grpc-status") != "2" {
		t.Errorf("got %v", answer.Header)
	}
}

func TestALineIsAnsweredWithTheVersion(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	upstream := configured(t, "-version=v2")
	go func() { done <- upstream.serveLines(ctx, listener) }()
	connection, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	for _, line := range []string{"one", "two"} {
		if _, err := connection.Write([]byte(line + "\n")); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, 4<<10)
		size, err := connection.Read(answer)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(answer[:size]); got != "v2 "+upstream.pod+" "+line+"\n" {
			t.Errorf("got %q", got)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("the end is no error: %v", err)
	}
}
