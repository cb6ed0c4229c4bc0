package faults

import (
	"sync"
	"sync/atomic"
	"testing"
)

func TestTheShareOfRequestsFailsThatWasSet(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "1": 10, "20": 200, "33": 330, "100": 1000} {
		var share Share
		if err := share.Set(text); err != nil || share.String() != text {
			t.Fatalf("%s: %v, %s", text, err, share.String())
		}
		var failed atomic.Int64
		var asking sync.WaitGroup
		for range 10 {
			asking.Go(func() {
				for range 100 {
					if share.Next() {
						failed.Add(1)
					}
				}
			})
		}
		asking.Wait()
		if failed.Load() != want {
			t.Errorf("%s %%: %d of 1000 failed", text, failed.Load())
		}
	}
}

func TestFailuresAreSpreadEvenly(t *testing.T) {
	var share Share
	_ = share.Set("50")
	for number := range 6 {
		if got, want := share.Next(), number%2 == 1; got != want {
			t.Errorf("request %d: failed: %t", number+1, got)
		}
	}
}

func TestOtherThanAPercentageIsRefused(t *testing.T) {
	for _, text := range []string{"", "-1", "101", "1.5", "half"} {
		if new(Share).Set(text) == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}
