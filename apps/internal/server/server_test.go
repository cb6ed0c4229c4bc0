package server

import (
	"context"
	"errors"
	"net"
	"net/http"
	"testing"
	"time"
)

// running serves the handler on a free port. It returns the address, what stops the server, and its result.
func running(t *testing.T, handler http.HandlerFunc, grace time.Duration) (string, func(), <-chan error) {
	t.Helper()
	listeners, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, New(handler), listeners, grace) }()
	return "http://" + listeners[0].Addr().String(), stop, ended
}

func soon[T any](t *testing.T, channel <-chan T, what string) T {
	t.Helper()
	select {
	case value := <-channel:
		return value
	case <-time.After(10 * time.Second):
		t.Fatalf("%s did not happen", what)
		panic("not reached")
	}
}

// asked sends a request, and returns the status of its answer; 0 without an answer.
func asked(address string) <-chan int {
	status := make(chan int, 1)
	go func() {
		response, err := http.Get(address)
		if err != nil {
			status <- 0
			return
		}
		response.Body.Close()
		status <- response.StatusCode
	}()
	return status
}

func TestRunningRequestsAreAnsweredBeforeTheServerEnds(t *testing.T) {
	began, proceed := make(chan bool), make(chan bool)
	address, stop, ended := running(t, func(answer http.ResponseWriter, _ *http.Request) {
		began <- true
		<-proceed
		answer.WriteHeader(http.StatusAccepted)
	}, time.Minute)
	status := asked(address)
	soon(t, began, "the request")
	stop()
	for { // until it refuses new connections
		connection, err := net.Dial("tcp", address[len("http://"):])
		if err != nil {
			break
		}
		connection.Close()
	}
	select {
	case err := <-ended:
		t.Fatalf("the server did not wait for the request: %v", err)
	default:
	}
	close(proceed)
	if got := soon(t, status, "the answer"); got != http.StatusAccepted {
		t.Errorf("the request was answered %d", got)
	}
	if err := soon(t, ended, "the end of the server"); err != nil {
		t.Error(err)
	}
}

func TestTheServerEndsAfterTheGracePeriod(t *testing.T) {
	began, release := make(chan bool), make(chan bool)
	defer close(release)
	address, stop, ended := running(t, func(http.ResponseWriter, *http.Request) {
		began <- true
		<-release
	}, time.Millisecond)
	asked(address)
	soon(t, began, "the request")
	stop()
	if err := soon(t, ended, "the end of the server"); err == nil || err.Error() != "requests still running after 1ms were cut" {
		t.Errorf("got %v", err)
	}
}

func TestAListenerThatFailsEndsTheServer(t *testing.T) {
	listeners, err := Listen("127.0.0.1:0", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listeners[1].Close()
	if err := Serve(context.Background(), New(http.NotFoundHandler()), listeners, time.Second); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
	if _, err := net.Dial("tcp", listeners[0].Addr().String()); err == nil {
		t.Error("the other listener must be closed")
	}
}

func TestNoAddressStaysOpenWhenOneIsTaken(t *testing.T) {
	taken, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken[0].Close()
	free, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free[0].Close()
	if _, err := Listen(free[0].Addr().String(), taken[0].Addr().String()); err == nil {
		t.Fatal("a taken address was opened")
	}
	again, err := Listen(free[0].Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	again[0].Close()
}

func TestAnIdleConnectionOutlivesThoseOfEnvoy(t *testing.T) {
	const envoyIdle = time.Hour // Envoy's default idle_timeout of a cluster's connections
	if server := New(nil); server.IdleTimeout <= envoyIdle || server.ReadTimeout != 0 || server.ReadHeaderTimeout == 0 {
		t.Errorf("got %+v", server)
	}
}
