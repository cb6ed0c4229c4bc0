// Package faults lets a service misbehave by its flags.
package faults

import (
	"errors"
	"strconv"
	"sync/atomic"
)

// Share is the share of requests that fail, in percent: a flag.Value. Failures are spread evenly: of the first n
// requests, n*percent/100 fail, rounded down.
type Share struct {
	percent uint64
	counted atomic.Uint64
}

// String returns the percentage.
func (s *Share) String() string { return strconv.FormatUint(s.percent, 10) }

// Set reads a whole number from 0 to 100. It must not be called once requests are counted.
func (s *Share) Set(text string) error {
	percent, err := strconv.ParseUint(text, 10, 64)
	if err != nil || percent > 100 {
		return errors.New("it is not a whole number from 0 to 100")
	}
	s.percent = percent
	return nil
}

// Next counts a request, and says whether it fails.
func (s *Share) Next() bool {
	number := s.counted.Add(1)
	return number*s.percent/100 > (number-1)*s.percent/100
}
