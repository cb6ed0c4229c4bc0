// Program generate writes ../pulumi_kubernetes_istio_crds from the CustomResourceDefinitions of an Istio release:
// typed Pulumi resources in Python, by Pulumi's own generator, and schemas.json for checks without a cluster.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/blang/semver"
)

const (
	istioModule = "istio.io/istio"
	crdFile     = "manifests/charts/base/files/crd-all.gen.yaml"
)

func main() {
	release := flag.String("istio", "", "the Istio release, such as 1.31.0")
	crds := flag.String("crds", "", "file with the release's CRDs; if empty, from the release's Go module")
	out := flag.String("out", filepath.Join("..", packageName), "folder of the Python project that is written")
	flag.Parse()
	if *release == "" || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "generate: -istio is required, such as -istio 1.31.0; fix: make crds ISTIO=1.31.0")
		os.Exit(2)
	}
	if err := generate(*release, *crds, *out); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func generate(release, crds, out string) error {
	if _, err := semver.Parse(release); err != nil {
		return fmt.Errorf("%s is not a release of Istio: %w; fix: give it as 1.31.0", release, err)
	}
	if crds == "" {
		module, err := download(istioModule + "@" + release)
		if err != nil {
			return err
		}
		crds = filepath.Join(module, filepath.FromSlash(crdFile))
	}
	kinds, err := readKinds(crds)
	if err != nil {
		return err
	}
	files, err := generatePython(kinds, release)
	if err != nil {
		return err
	}
	if files[packageName+"/schemas.json"], err = schemas(kinds); err != nil {
		return err
	}
	// The modules of kinds that the release no longer has go too.
	if err := os.RemoveAll(filepath.Join(out, packageName)); err != nil {
		return err
	}
	for path, content := range files {
		file := filepath.Join(out, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// download returns the folder of a Go module, which Go checks against its checksum database.
func download(module string) (string, error) {
	command := exec.Command("go", "mod", "download", "-json", module)
	command.Dir = os.TempDir() // outside of this module, whose go.mod does not require it
	output, err := command.Output()
	var answer struct{ Dir, Error string }
	if json.Unmarshal(output, &answer) == nil && answer.Error != "" {
		return "", fmt.Errorf("%s: %s; fix: give a release of https://github.com/istio/istio/releases", module, answer.Error)
	}
	if err != nil {
		var message []byte
		if exit, ok := err.(*exec.ExitError); ok {
			message = bytes.TrimSpace(exit.Stderr)
		}
		return "", fmt.Errorf("%s: %w: %s", strings.Join(command.Args, " "), err, message)
	}
	return answer.Dir, nil
}
