package faults

import (
	"math"
	"sync"
	"sync/atomic"
	"testing"
)

func TestTheShareOfRequestsFailsThatWasSet(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "0.5": 5, "1": 10, "2.5": 25, "20": 200, "33": 330, "100": 1000} {
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

// failures returns which of the first requests fail, and how many do.
func failures(t *testing.T, percent, seed string, requests int) ([]bool, int) {
	t.Helper()
	var share Share
	if err := share.Set(percent); err != nil {
		t.Fatal(err)
	}
	if err := share.SetSeed(seed); err != nil {
		t.Fatal(err)
	}
	failed, count := make([]bool, requests), 0
	for number := range failed {
		if failed[number] = share.Next(); failed[number] {
			count++
		}
	}
	return failed, count
}

func TestWithASeedFailuresAreAtRandom(t *testing.T) {
	const requests = 100_000
	for percent, part := range map[string]float64{"0.5": 0.005, "20": 0.2, "40": 0.4} {
		for _, seed := range []string{"0", "1", "18446744073709551615"} {
			failed, count := failures(t, percent, seed, requests)
			if off := math.Abs(float64(count) - part*requests); off > 5*math.Sqrt(requests*part*(1-part)) {
				t.Errorf("%s %% with the seed %s: %d of %d failed", percent, seed, count, requests)
			}
			pairs := 0
			for number := range requests - 1 {
				if failed[number] && failed[number+1] {
					pairs++
				}
			}
			if off := math.Abs(float64(pairs) - part*part*requests); off > 8*part*math.Sqrt(requests) {
				t.Errorf("%s %% with the seed %s: %d failures came after another", percent, seed, pairs)
			}
		}
	}
}

func TestTheSeedSaysWhichRequestsFail(t *testing.T) {
	same, different := 0, 0
	first, _ := failures(t, "50", "7", 1000)
	again, _ := failures(t, "50", "7", 1000)
	other, _ := failures(t, "50", "8", 1000)
	for number := range first {
		if first[number] == again[number] {
			same++
		}
		if first[number] != other[number] {
			different++
		}
	}
	if same != 1000 || different < 400 || different > 600 {
		t.Errorf("%d of 1000 as before, %d not as with another seed", same, different)
	}
}

func TestOtherThanAPercentageIsRefused(t *testing.T) {
	for _, text := range []string{"", "-1", "101", "100.001", "0.0005", "NaN", "half"} {
		if new(Share).Set(text) == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}

func TestOtherThanASeedIsRefused(t *testing.T) {
	for _, text := range []string{"", "-1", "1.5", "18446744073709551616", "luck"} {
		if new(Share).SetSeed(text) == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}
