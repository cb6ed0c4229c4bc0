// Samples has the services of the sample systems in one program; the first argument chooses the service:
//
//	samples web-api -amount=10
//
// Each answers /health with {"status":"UP"}, logs requests to the standard output as JSON, and finishes running requests
// after SIGTERM. `samples web-api -help` lists the flags of a service; see the README of apps for their paths.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"istio-canary/apps/internal/service"
	"istio-canary/apps/samples/assets"
	"istio-canary/apps/samples/cloudnative"
	"istio-canary/apps/samples/hello"
	"istio-canary/apps/samples/starter"
)

const usageError = 2 // the exit code of invalid arguments

func services() []service.Service {
	return []service.Service{
		hello.Minikube(),
		cloudnative.JavaService(),
		cloudnative.GoService(),
		cloudnative.Frontend(),
		assets.Manager(),
		assets.BFF(),
		assets.Consumer(),
		starter.WebAPI(),
		starter.Articles(),
		starter.Authors(),
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run returns the exit code. Logs go to `logs`, what is wrong before the service starts goes to `messages`.
func run(ctx context.Context, words []string, logs, messages io.Writer) int {
	chosen, err := choose(words)
	if err != nil {
		fmt.Fprintln(messages, err)
		return usageError
	}
	app, err := chosen.Configure(words[1:], logs)
	if errors.Is(err, flag.ErrHelp) {
		chosen.Usage(logs)
		return 0
	}
	if err != nil {
		fmt.Fprintf(messages, "samples %s: %v\n    fix: samples %s -help lists the flags\n", chosen.Name, err, chosen.Name)
		return usageError
	}
	slog.SetDefault(app.Log)
	if err := app.Run(ctx); err != nil {
		fmt.Fprintf(messages, "samples %s: %v\n", chosen.Name, err)
		return 1
	}
	return 0
}

func choose(words []string) (service.Service, error) {
	given := "without a service"
	var names []string
	closest := 4 // changes of one letter, and fewer than the name has
	meant := "<service>"
	for _, each := range services() {
		if len(words) > 0 && words[0] == each.Name {
			return each, nil
		}
		names = append(names, each.Name)
		if len(words) > 0 {
			if changes := changesBetween(words[0], each.Name); changes < min(closest, len(each.Name)/2+1) {
				closest, meant = changes, each.Name
			}
		}
	}
	if len(words) > 0 {
		given = fmt.Sprintf("unknown service %q", words[0])
	}
	return service.Service{}, fmt.Errorf(
		"samples: %s\n    allowed: %s\n    fix:     samples %s", given, strings.Join(names, ", "), meant,
	)
}

// changesBetween returns how many letters must be added, removed or replaced to turn one name into the other.
func changesBetween(one, other string) int {
	row := make([]int, len(other)+1)
	for column := range row {
		row[column] = column
	}
	for i := range len(one) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(other) {
			replaced := diagonal
			if one[i] != other[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(other)]
}
