package main

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

// atHand returns an echo with these flags whose clock a test sets.
func atHand(t *testing.T, words ...string) (*echo, *time.Time) {
	t.Helper()
	server, now := configured(t, words...), time.Unix(0, 0)
	server.pace.now = func() time.Time { return now }
	return server, &now
}

func TestAPodIsColdFromItsFirstRequestOn(t *testing.T) {
	server, now := atHand(t, "-cold=15s", "-cold-delay=200ms")
	*now = now.Add(time.Hour) // however long it has been there
	for _, one := range []struct {
		after, want time.Duration
	}{{0, 200 * time.Millisecond}, {14 * time.Second, 200 * time.Millisecond}, {time.Second, 0}, {time.Hour, 0}} {
		*now = now.Add(one.after)
		if got := server.pace.wait(nil); got != one.want {
			t.Errorf("%s: waits %s, not %s", now, got, one.want)
		}
	}
}

func TestARequestsOwnDelayComesBeforeThatOfAColdPod(t *testing.T) {
	server, now := atHand(t, "-cold=15s", "-cold-delay=200ms")
	own := time.Millisecond
	if got := server.pace.wait(&own); got != own {
		t.Errorf("waits %s", got)
	}
	*now = now.Add(15 * time.Second)
	if got := server.pace.wait(nil); got != 0 {
		t.Errorf("it was the first request, but the next one waits %s", got)
	}
}

func TestProbesWarmNothingUp(t *testing.T) {
	server, now := atHand(t, "-cold=15s", "-cold-delay=200ms")
	address := listeningWith(t, server)
	if answer := ask(t, server, "GET", "/_health"); answer.Code != http.StatusOK {
		t.Errorf("got %d", answer.Code)
	}
	ask(t, server, "GET", "/_seen?key=a")
	calledByGRPC(t, address, "/grpc.health.v1.Health/Check", framed(""))
	*now = now.Add(time.Hour)
	if got := server.pace.wait(nil); got != 200*time.Millisecond {
		t.Errorf("its first request waits %s", got)
	}
}

func TestAColdPodIsAtLeastAsSlowAsAWarmOne(t *testing.T) {
	server, _ := atHand(t, "-cold=15s", "-cold-delay=200ms", "-delay=1s", "-slow-percent=50")
	for number, want := range []time.Duration{200 * time.Millisecond, time.Second, 200 * time.Millisecond, time.Second} {
		if got := server.pace.wait(nil); got != want {
			t.Errorf("request %d waits %s, not %s", number+1, got, want)
		}
	}
}

func TestDelaysTheShareOfRequestsThatItsFlagSays(t *testing.T) {
	for _, percent := range []int{0, 1, 5, 20, 100} {
		server := configured(t, "-delay=200ms", fmt.Sprintf("-slow-percent=%d", percent))
		slow := 0
		for number := 1; number <= 200; number++ {
			if server.pace.wait(nil) == 200*time.Millisecond {
				slow++
			}
			if want := number * percent / 100; slow != want {
				t.Fatalf("%d of the first %d requests wait with %d %%, not %d", slow, number, percent, want)
			}
		}
	}
}

func TestTheFlagsOfASlowPodAreAccepted(t *testing.T) {
	for _, words := range [][]string{
		{}, {"-delay=200ms", "-slow-percent=5"}, {"-cold=15s", "-cold-delay=200ms"}, {"-delay=1h"},
	} {
		if err := configured(t, words...).pace.unusable(); err != nil {
			t.Errorf("%v: %v", words, err)
		}
	}
}
