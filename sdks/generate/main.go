// Program generate writes ../pulumi_kubernetes_istio_crds from the CustomResourceDefinitions of an Istio release:
// typed Pulumi resources in Python, by Pulumi's own generator, and schemas.json for checks without a cluster.
package main

import (
	"encoding/json"
	"errors"
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
	crds := flag.String("crds", "", "file with the release's CRDs; if empty, the one in Istio's Go module")
	pinned := flag.String("pinned", "", "folder of a Go module that requires Istio's at this release; if empty, Go finds it")
	out := flag.String("out", filepath.Join("..", packageName), "folder of the Python project that is written")
	flag.Parse()
	if *release == "" || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "generate: -istio is required, such as -istio 1.31.0; fix: make crds ISTIO=1.31.0")
		os.Exit(2)
	}
	if err := generate(*release, *crds, *pinned, *out); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func generate(release, crds, pinned, out string) error {
	if _, err := semver.Parse(release); err != nil {
		return fmt.Errorf("%s is not a release of Istio: %w; fix: give it as 1.31.0", release, err)
	}
	if crds == "" {
		module, err := download(release, pinned)
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

// download returns the folder of Istio's Go module, which Go checks against the go.sum in `pinned`, or else against its
// checksum database.
func download(release, pinned string) (string, error) {
	module, folder := istioModule, pinned
	if pinned == "" {
		module, folder = istioModule+"@"+release, os.TempDir() // where no go.mod has another version
	}
	command := exec.Command("go", "mod", "download", "-json", module)
	command.Dir = folder
	command.Stderr = os.Stderr
	output, failed := command.Output()
	var answer struct{ Dir, Error string }
	if err := json.Unmarshal(output, &answer); err != nil {
		return "", fmt.Errorf("%s in %s: %w", strings.Join(command.Args, " "), folder, errors.Join(failed, err))
	}
	if answer.Error != "" {
		return "", fmt.Errorf("%s; fix: give a release that GOPROXY has, or the file %s of Istio's source by -crds",
			answer.Error, crdFile)
	}
	return answer.Dir, nil
}
