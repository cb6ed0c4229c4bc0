package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
)

// lineBytes is the limit of a line on a TCP connection.
const lineBytes = 64 << 10

// serveLines answers each line on a TCP connection with the version, the pod and the line, until ctx ends: then it
// closes the connections, whose callers have no other way to learn of the end.
func (e *echo) serveLines(ctx context.Context, listener net.Listener) error {
	var open sync.WaitGroup
	defer open.Wait()
	context.AfterFunc(ctx, func() { listener.Close() })
	for {
		connection, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		open.Go(func() {
			defer connection.Close()
			defer context.AfterFunc(ctx, func() { connection.Close() })()
			e.answerLines(connection)
		})
	}
}

func (e *echo) answerLines(connection net.Conn) {
	lines := bufio.NewScanner(connection)
	lines.Buffer(nil, lineBytes)
	for lines.Scan() {
		if _, err := fmt.Fprintf(connection, "%s %s %s\n", e.version, e.pod, lines.Text()); err != nil {
			return
		}
	}
}
