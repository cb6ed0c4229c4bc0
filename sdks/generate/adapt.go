package main

import (
	"bytes"
	"fmt"
	"path"
	"strings"
)

const (
	readme = `# Istio's custom resources as typed Pulumi resources

Generated from the CustomResourceDefinitions of Istio %[1]s by Pulumi's generator; their descriptions are Istio's. The
resources are made by Pulumi's Kubernetes provider, under the same type tokens as those of
` + "`pulumi_kubernetes.apiextensions.CustomResource`" + `.

` + "```python" + `
from pulumi_kubernetes_istio_crds.security.v1 import (
    PeerAuthentication,
    PeerAuthenticationSpecArgs,
    PeerAuthenticationSpecMtlsArgs,
)

PeerAuthentication(
    "strict",
    metadata={"name": "default", "namespace": "shop"},
    spec=PeerAuthenticationSpecArgs(mtls=PeerAuthenticationSpecMtlsArgs(mode="STRICT")),
)
` + "```" + `

` + "`schemas.json`" + ` holds the kinds' schemas with their CEL rules, by apiVersion and kind.
`
	noPlugin = `{
  "resource": false
}
`
)

// edit replaces a text that must be there: an unexpected generator fails here, and not in a user's program.
type edit struct{ from, to string }

// adapt makes a package of the Kubernetes provider, without a provider of its own, of what the generator wrote.
func adapt(files map[string][]byte, release string) error {
	in := func(name string) string { return path.Join(packageName, name) }
	delete(files, in("provider.py"))
	delete(files, in("README.md"))
	files["README.md"] = fmt.Appendf(nil, readme, release)
	// Otherwise Pulumi would look for a plugin of this package's name and version.
	files[in("pulumi-plugin.json")] = []byte(noPlugin)

	init := string(files[in("__init__.py")])
	start, end := strings.Index(init, `resource_packages="""`), strings.LastIndex(init, `"""`)
	if start < 0 || end < start {
		return fmt.Errorf("%s registers no packages", in("__init__.py"))
	}
	files[in("__init__.py")] = []byte(init[:start] + `resource_packages="[]"` + init[end+len(`"""`):])

	edits := map[string][]edit{
		in("__init__.py"): {
			{"# Export this package's modules as members:\nfrom .provider import *\n", ""},
			{`"pkg": "` + schemaName + `"`, `"pkg": "kubernetes"`},
		},
		// The version that resources ask for is that of their provider.
		in("_utilities.py"): {{"root_package, *rest = __name__.split('.')", `root_package = "pulumi_kubernetes"`}},
		"pyproject.toml":    {{`"pulumi-plugin.json"]`, `"pulumi-plugin.json", "schemas.json"]`}},
	}
	for file := range files {
		if path.Ext(file) != ".py" {
			continue
		}
		// The generator takes a module `networking/v1` for one of the first level.
		switch strings.Count(file, "/") {
		case 2:
			edits[file] = append(edits[file], edit{"from . import _utilities", "from .. import _utilities"})
		case 3:
			edits[file] = append(edits[file], edit{"from .. import _utilities", "from ... import _utilities"})
		}
	}
	for file, changes := range edits {
		for _, change := range changes {
			if !bytes.Contains(files[file], []byte(change.from)) {
				return fmt.Errorf("%s has no %q", file, change.from)
			}
			files[file] = bytes.ReplaceAll(files[file], []byte(change.from), []byte(change.to))
		}
	}
	return nil
}
