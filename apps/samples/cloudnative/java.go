// Package cloudnative has the services of the sample java-service: two that tell who they are, and a page of links.
package cloudnative

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net/http"
	"os"

	"istio-canary/apps/internal/service"
)

// The releases of java-service, which are tags of its image.
const (
	firstRelease  = "1.0.0"
	secondRelease = "UPDATE2_0"
)

const (
	instanceProperty = "instance.name"
	defaultInstance  = "One"
)

// identity is the answer of firstRelease.
type identity struct {
	WhoAmI string `json:"whoami"`
}

// releasedIdentity is the answer of secondRelease.
type releasedIdentity struct {
	Release  string `json:"release"`
	Instance string `json:"instance"`
	Service  string `json:"service"`
}

// JavaService stands in for a service in Java. It tells its instance's name, which is the property instance.name in
// /config/application.properties; One without the file or the property. The file is read once, at the start.
func JavaService() service.Service {
	java := &javaService{release: firstRelease, config: "/config/application.properties"}
	return service.Service{Name: "java-service", Listen: ":8080", Flags: java.flags, Handler: java.handler}
}

type javaService struct {
	release string
	config  string
}

func (j *javaService) flags(flags *flag.FlagSet) {
	flags.Func("release", "release whose JSON it answers: 1.0.0 or UPDATE2_0 (default 1.0.0)", j.setRelease)
	flags.StringVar(&j.config, "config", j.config, "file with the property instance.name")
}

func (j *javaService) setRelease(text string) error {
	if text != firstRelease && text != secondRelease {
		return fmt.Errorf("it is neither %s nor %s", firstRelease, secondRelease)
	}
	j.release = text
	return nil
}

func (j *javaService) handler(service.Tools) (http.Handler, error) {
	instance, err := j.instance()
	if err != nil {
		return nil, err
	}
	answer := func(name string) http.HandlerFunc {
		return func(answer http.ResponseWriter, _ *http.Request) {
			if j.release == secondRelease {
				service.WriteJSON(answer, http.StatusOK, releasedIdentity{j.release, instance, name})
			} else {
				service.WriteJSON(answer, http.StatusOK, identity{instance + " " + name})
			}
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /javaservice", answer("Java Service"))
	mux.HandleFunc("GET /javaserviceroute", answer("Java Route Service"))
	return mux, nil
}

func (j *javaService) instance() (string, error) {
	text, err := os.ReadFile(j.config)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if name := property(string(text), instanceProperty); name != "" {
		return name, nil
	}
	return defaultInstance, nil
}
