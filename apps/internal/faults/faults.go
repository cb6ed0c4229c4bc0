// Package faults lets a service misbehave by its flags.
package faults

import (
	"errors"
	"strconv"
	"sync/atomic"
)

// whole is 100 percent, in the unit in which a Share is kept.
const whole = 100_000

// Share is the share of requests that fail, or are slow, in percent: a flag.Value. Failures are spread evenly: of the
// first n requests, n*percent/100 fail, rounded down. With a seed they are at random: each request fails with this
// probability, and of two services with the same seed the same ones, by their number.
type Share struct {
	part    uint64 // of whole
	seed    uint64
	random  bool
	counted atomic.Uint64
}

// String returns the percentage.
func (s *Share) String() string {
	return strconv.FormatFloat(float64(s.part)*100/whole, 'f', -1, 64)
}

// Set reads a number from 0 to 100, with up to three decimals. It must not be called once requests are counted.
func (s *Share) Set(text string) error {
	percent, err := strconv.ParseFloat(text, 64)
	if err != nil || !(percent >= 0 && percent <= 100) {
		return errors.New("it is not a number from 0 to 100")
	}
	part := uint64(percent*whole/100 + 0.5)
	if strconv.FormatFloat(float64(part)*100/whole, 'f', -1, 64) != strconv.FormatFloat(percent, 'f', -1, 64) {
		return errors.New("it has more than three decimals")
	}
	s.part = part
	return nil
}

// SetSeed reads the seed from which the failures are at random: a whole number. It must not be called once requests are
// counted.
func (s *Share) SetSeed(text string) error {
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return errors.New("it is not a whole number of 0 or more")
	}
	s.seed, s.random = seed, true
	return nil
}

// Next counts a request, and says whether it fails.
func (s *Share) Next() bool {
	number := s.counted.Add(1)
	if s.random {
		return mixed(mixed(s.seed)+number)%whole < s.part
	}
	return number*s.part/whole > (number-1)*s.part/whole
}

// mixed returns a number of which each bit depends on all bits of another one (the finalizer of SplitMix64).
func mixed(number uint64) uint64 {
	number += 0x9e3779b97f4a7c15
	number = (number ^ number>>30) * 0xbf58476d1ce4e5b9
	number = (number ^ number>>27) * 0x94d049bb133111eb
	return number ^ number>>31
}
