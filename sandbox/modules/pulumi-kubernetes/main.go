// Program pulumi-resource-kubernetes is Pulumi's own Kubernetes provider, built from its Go module.
//
// The provider's release embeds copies of two files, which its makers generate and the module leaves out. Here they are
// read from the program's folder, where the build puts the originals.
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/provider"
	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/version"
)

func main() {
	// The schema's original has no version; the release's copy does.
	schema := bytes.Replace(read("schema.json"), []byte("{"), fmt.Appendf(nil, "{\"version\": %q,", version.Version), 1)
	provider.Serve("kubernetes", version.Version, schema, read("terraform-mapping.json"))
}

func read(name string) []byte {
	program, err := os.Executable()
	if err != nil {
		fail(err)
	}
	content, err := os.ReadFile(filepath.Join(filepath.Dir(program), name))
	if err != nil {
		fail(err)
	}
	return content
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "pulumi-resource-kubernetes:", err)
	os.Exit(1)
}
