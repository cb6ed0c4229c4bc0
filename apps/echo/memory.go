package main

import (
	"strings"
	"sync"
)

// remembered limits the memory: the oldest requests are dropped.
const remembered = 20000

// memory holds the requests that had a key.
type memory struct {
	mutex sync.Mutex
	limit int
	order []string // the keys of the requests, oldest first
	byKey map[string][]received
}

func newMemory(limit int) *memory {
	return &memory{limit: limit, byKey: map[string][]received{}}
}

func (m *memory) remember(key string, request received) {
	if key == "" {
		return
	}
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.byKey[key] = append(m.byKey[key], request)
	m.order = append(m.order, key)
	if len(m.order) <= m.limit {
		return
	}
	oldest := m.order[0]
	m.order = m.order[1:]
	if m.byKey[oldest] = m.byKey[oldest][1:]; len(m.byKey[oldest]) == 0 {
		delete(m.byKey, oldest)
	}
}

// seen returns the requests of a key in the order received; an empty list if there are none.
func (m *memory) seen(key string) []received {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return append([]received{}, m.byKey[key]...)
}

// seenBy returns the requests of all keys with the prefix, by key.
func (m *memory) seenBy(prefix string) map[string][]received {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	found := map[string][]received{}
	for key, requests := range m.byKey {
		if strings.HasPrefix(key, prefix) {
			found[key] = append([]received{}, requests...)
		}
	}
	return found
}
