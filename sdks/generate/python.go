package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/blang/semver"
	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/gen"
	"github.com/pulumi/pulumi/pkg/v3/codegen/python"
	"github.com/pulumi/pulumi/pkg/v3/codegen/schema"
)

const (
	packageName = "pulumi_kubernetes_istio_crds"
	schemaName  = "kubernetes-istio-crds"
	// The oldest SDK whose ObjectMeta and options the package uses.
	kubernetesSDK = "4.25.0"
)

// generatePython returns the files of the Python package by path.
func generatePython(kinds []kind, release string) (map[string][]byte, error) {
	spec, err := packageSpec(kinds, release)
	if err != nil {
		return nil, err
	}
	loader, err := newKubernetesLoader()
	if err != nil {
		return nil, err
	}
	bound, problems, err := schema.BindSpec(spec, loader, schema.ValidationOptions{})
	if err != nil {
		return nil, err
	}
	if problems.HasErrors() {
		return nil, problems
	}
	files, err := python.GeneratePackage("sdks/generate", bound, nil, loader)
	if err != nil {
		return nil, err
	}
	return files, adapt(files, release)
}

// packageSpec returns the schema of the Pulumi package: the kinds, without provider and without …List and …Patch.
func packageSpec(kinds []kind, release string) (schema.PackageSpec, error) {
	document := newOpenAPI(kinds)
	spec := gen.PulumiSchema(object{"definitions": document.definitions}, gen.WithAllowHyphens(true))
	spec.Name = schemaName
	spec.Version = release
	spec.Description = "Istio " + release + "'s custom resources as typed Pulumi resources."
	spec.DisplayName, spec.Publisher, spec.Homepage, spec.Repository = "", "", "", ""
	spec.Keywords = nil
	spec.Provider, spec.Config = schema.ResourceSpec{}, schema.ConfigSpec{}
	spec.AllowedPackageNames = []string{"kubernetes"} // the tokens are those of the Kubernetes provider
	// The generator has added …Patch to each.
	maps.DeleteFunc(spec.Types, func(token string, _ schema.ComplexTypeSpec) bool { return !document.tokens[token] })
	maps.DeleteFunc(spec.Resources, func(token string, _ schema.ResourceSpec) bool { return !document.tokens[token] })

	var settings python.PackageInfo
	if err := json.Unmarshal(spec.Language["python"], &settings); err != nil {
		return spec, err
	}
	settings.PackageName = packageName
	settings.PythonRequires = ">=3.9"
	settings.Requires = map[string]string{"pulumi-kubernetes": ">=" + kubernetesSDK + ",<5"}
	settings.Readme = "README.md" // of adapt
	// No TypedDicts: the classes take dicts of Istio's own field names as well.
	settings.InputTypes = python.InputTypesSettingClasses
	encoded, err := json.Marshal(settings)
	if err != nil {
		return spec, err
	}
	spec.Language = map[string]schema.RawMessage{"python": encoded}
	return externalObjectMeta(spec)
}

// externalObjectMeta makes the references to ObjectMeta point into the package pulumi_kubernetes.
func externalObjectMeta(spec schema.PackageSpec) (schema.PackageSpec, error) {
	text, err := json.Marshal(spec)
	if err != nil {
		return spec, err
	}
	external := "/kubernetes/v" + kubernetesSDK + "/schema.json" + strings.Replace(metaToken, "meta/v1", "meta%2Fv1", 1)
	var changed schema.PackageSpec
	err = json.Unmarshal([]byte(strings.ReplaceAll(string(text), metaToken, external)), &changed)
	return changed, err
}

const metaToken = "#/types/kubernetes:meta/v1:ObjectMeta"

// kubernetesLoader knows of the package kubernetes what these kinds refer to, and of no other package.
type kubernetesLoader struct{ kubernetes *schema.Package }

func newKubernetesLoader() (kubernetesLoader, error) {
	spec := schema.PackageSpec{
		Name:    "kubernetes",
		Version: kubernetesSDK,
		Types: map[string]schema.ComplexTypeSpec{
			"kubernetes:meta/v1:ObjectMeta": {ObjectTypeSpec: schema.ObjectTypeSpec{Type: "object"}},
		},
		Meta: &schema.MetadataSpec{ModuleFormat: "(.*)"},
	}
	bound, err := schema.ImportSpec(spec, map[string]schema.Language{"python": python.Importer}, schema.ValidationOptions{})
	return kubernetesLoader{bound}, err
}

func (l kubernetesLoader) LoadPackage(name string, _ *semver.Version) (*schema.Package, error) {
	if name != l.kubernetes.Name {
		return nil, fmt.Errorf("unknown package %s", name)
	}
	return l.kubernetes, nil
}

func (l kubernetesLoader) LoadPackageV2(_ context.Context, d *schema.PackageDescriptor) (*schema.Package, error) {
	return l.LoadPackage(d.Name, d.Version)
}

func (l kubernetesLoader) LoadPackageReference(name string, v *semver.Version) (schema.PackageReference, error) {
	loaded, err := l.LoadPackage(name, v)
	if err != nil {
		return nil, err
	}
	return loaded.Reference(), nil
}

func (l kubernetesLoader) LoadPackageReferenceV2(
	_ context.Context, d *schema.PackageDescriptor,
) (schema.PackageReference, error) {
	return l.LoadPackageReference(d.Name, d.Version)
}
