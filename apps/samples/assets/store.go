package assets

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
)

var (
	errUnknown = errors.New("there is no such asset")
	errFull    = errors.New("there are too many assets; delete some first")
)

// store holds assets by id, in memory.
type store struct {
	mutex sync.Mutex
	limit int
	byID  map[string]Asset
}

func newStore(limit int, assets []Asset) *store {
	stored := &store{limit: limit, byID: map[string]Asset{}}
	for _, asset := range assets {
		stored.byID[asset.ID] = asset
	}
	return stored
}

// list returns the assets that fit, in the order of their ids.
func (s *store) list(fits func(Asset) bool) []Asset {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	found := []Asset{}
	for asset := range maps.Values(s.byID) {
		if fits(asset) {
			found = append(found, asset)
		}
	}
	slices.SortFunc(found, func(a, b Asset) int { return cmp.Compare(a.ID, b.ID) })
	return found
}

func (s *store) get(id string) (Asset, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	asset, known := s.byID[id]
	if !known {
		return asset, unknown(id)
	}
	return asset, nil
}

// save adds the asset, or replaces the one with its id. It returns whether it was added.
func (s *store) save(asset Asset) (bool, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	_, known := s.byID[asset.ID]
	if !known && len(s.byID) >= s.limit {
		return false, errFull
	}
	s.byID[asset.ID] = asset
	return !known, nil
}

func (s *store) replace(asset Asset) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if _, known := s.byID[asset.ID]; !known {
		return unknown(asset.ID)
	}
	s.byID[asset.ID] = asset
	return nil
}

func (s *store) remove(id string) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if _, known := s.byID[id]; !known {
		return unknown(id)
	}
	delete(s.byID, id)
	return nil
}

func unknown(id string) error { return fmt.Errorf("%w: %.100q", errUnknown, id) }
