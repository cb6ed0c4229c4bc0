package main

import (
	"errors"
	"flag"
	"fmt"
	"sync"
	"time"

	"istio-canary/apps/internal/faults"
)

// pace is how long requests wait before their answers. A pod is cold from its first request on, for a time: what its
// probes ask does not count, as nothing warms up by it.
type pace struct {
	delay     time.Duration
	slow      faults.Share // of the requests that get the delay
	cold      time.Duration
	coldDelay time.Duration
	now       func() time.Time

	once   sync.Once
	warmAt time.Time
}

func newPace() *pace {
	made := &pace{now: time.Now}
	_ = made.slow.Set("100")
	return made
}

// addFlags adds the flags for how long requests wait.
func (p *pace) addFlags(flags *flag.FlagSet) {
	flags.DurationVar(&p.delay, "delay", 0, "wait before each answer; with 1h, until the caller gives up")
	flags.Var(&p.slow, "slow-percent", "share of the requests that -delay is for, evenly spread: with 20, every fifth")
	flags.DurationVar(&p.cold, "cold", 0, "how long -cold-delay holds, from the first request on")
	flags.DurationVar(&p.coldDelay, "cold-delay", 0, "wait at least so long before each answer while cold")
}

// unusable returns what is wrong with the flags: those that would be ignored.
func (p *pace) unusable() error {
	for _, one := range []struct {
		flag  string
		value time.Duration
	}{{"delay", p.delay}, {"cold", p.cold}, {"cold-delay", p.coldDelay}} {
		if one.value < 0 {
			return fmt.Errorf("-%s is %s; allowed: 0s or more", one.flag, one.value)
		}
	}
	if (p.cold > 0) != (p.coldDelay > 0) {
		return errors.New("-cold and -cold-delay must be given together: -cold=15s -cold-delay=200ms")
	}
	if p.delay == 0 && p.slow.String() != "100" {
		return errors.New("-slow-percent needs a delay: -delay=200ms -slow-percent=5")
	}
	return nil
}

// wait returns how long a request waits, and counts it. `asked` is the delay that it asks for, nil if it asks for none.
func (p *pace) wait(asked *time.Duration) time.Duration {
	p.once.Do(func() { p.warmAt = p.now().Add(p.cold) })
	if asked != nil {
		return *asked
	}
	var delay time.Duration
	if p.slow.Next() {
		delay = p.delay
	}
	if p.now().Before(p.warmAt) {
		delay = max(delay, p.coldDelay)
	}
	return delay
}
