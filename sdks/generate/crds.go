package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/apimachinery/pkg/version"
)

const objectMeta = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"

// object is a JSON object: a schema, or a map of schemas by name.
type object = map[string]any

// crd is what is needed of a CustomResourceDefinition.
type crd struct {
	Spec struct {
		Group    string
		Scope    string
		Names    struct{ Kind string }
		Versions []crdVersion
	}
}

type crdVersion struct {
	Name   string
	Served bool
	Schema struct{ OpenAPIV3Schema object }
}

// kind is a kind of Istio in the one version that is generated: v1, if it is served, else the newest one.
type kind struct {
	group, version, name, scope string
	schema                      object
	served                      []crdVersion
}

func (k kind) apiVersion() string { return k.group + "/" + k.version }

// readKinds returns the kinds of a file of CRDs, in the file's order.
func readKinds(file string) ([]kind, error) {
	opened, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	var kinds []kind
	for decoder := yaml.NewYAMLOrJSONDecoder(opened, 4096); ; {
		var read crd
		if err := decoder.Decode(&read); errors.Is(err, io.EOF) {
			if len(kinds) == 0 {
				return nil, fmt.Errorf("%s has no CustomResourceDefinition", file)
			}
			return kinds, nil
		} else if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		served := slices.DeleteFunc(read.Spec.Versions, func(v crdVersion) bool { return !v.Served })
		if len(served) == 0 { // an empty document, or a kind that the API server does not serve
			continue
		}
		newest := slices.MaxFunc(served, func(a, b crdVersion) int {
			return version.CompareKubeAwareVersionStrings(a.Name, b.Name)
		})
		kinds = append(kinds, kind{
			group:   read.Spec.Group,
			version: newest.Name,
			name:    read.Spec.Names.Kind,
			scope:   read.Spec.Scope,
			schema:  newest.Schema.OpenAPIV3Schema,
			served:  served,
		})
	}
}

// schemas returns the schemas for checks of objects: all that the API server checks, without descriptions.
func schemas(kinds []kind) ([]byte, error) {
	byVersion := map[string]object{}
	for _, k := range kinds {
		for _, v := range k.served {
			apiVersion := k.group + "/" + v.Name
			if byVersion[apiVersion] == nil {
				byVersion[apiVersion] = object{}
			}
			byVersion[apiVersion][k.name] = object{"scope": k.scope, "schema": withoutDescriptions(v.Schema.OpenAPIV3Schema)}
		}
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text) // sorts the keys
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(byVersion)
	return text.Bytes(), err
}

func withoutDescriptions(value any) any {
	switch value := value.(type) {
	case object:
		kept := object{}
		for key, member := range value {
			// A property of this name is a schema, and not a string.
			if _, isText := member.(string); key != "description" || !isText {
				kept[key] = withoutDescriptions(member)
			}
		}
		return kept
	case []any:
		kept := make([]any, len(value))
		for i, member := range value {
			kept[i] = withoutDescriptions(member)
		}
		return kept
	}
	return value
}

// openAPI is the kinds as the API server's OpenAPI document has them: nested objects are definitions of their own.
type openAPI struct {
	definitions object
	tokens      map[string]bool // Pulumi's type token of each definition
}

func newOpenAPI(kinds []kind) openAPI {
	document := openAPI{definitions: object{}, tokens: map[string]bool{}}
	for _, k := range kinds {
		properties := object{
			"apiVersion": object{"type": "string"},
			"kind":       object{"type": "string"},
			"metadata":   object{"$ref": "#/definitions/" + objectMeta},
		}
		for name, schema := range propertiesOf(k.schema) {
			properties[name] = document.extract(k, k.name+upperFirst(name), schema)
		}
		required, _ := k.schema["required"].([]any)
		document.add(k, k.name, object{
			"description": k.schema["description"],
			"properties":  properties,
			"required":    required,
			"x-kubernetes-group-version-kind": []any{
				object{"group": k.group, "version": k.version, "kind": k.name},
			},
		})
	}
	return document
}

// add defines an object of `of`, and returns the definition's name.
func (o openAPI) add(of kind, name string, schema object) string {
	labels := strings.Split(of.group, ".")
	slices.Reverse(labels)
	definition := strings.Join(append(labels, of.version, name), ".")
	o.definitions[definition] = schema
	o.tokens["kubernetes:"+of.apiVersion()+":"+name] = true
	return definition
}

// extract moves an object with properties into a definition called `name`, and returns the schema that refers to it.
func (o openAPI) extract(of kind, name string, schema object) object {
	result := maps.Clone(schema)
	for _, key := range []string{"items", "additionalProperties"} {
		if member, ok := schema[key].(object); ok {
			result[key] = o.extract(of, name, member)
			return result
		}
	}
	properties := object{}
	for property, member := range propertiesOf(schema) {
		properties[property] = o.extract(of, name+upperFirst(property), member)
	}
	if len(properties) > 0 {
		result["properties"] = properties
		reference := "#/definitions/" + o.add(of, name, result)
		return object{"description": schema["description"], "$ref": reference}
	}
	if schema["type"] == "object" || schema["type"] == nil && schema["x-kubernetes-int-or-string"] == nil {
		// Any JSON object; with its type, the generator would take it for a map of strings.
		return object{"description": schema["description"], "x-kubernetes-preserve-unknown-fields": true}
	}
	return result
}

// propertiesOf returns an object's properties. Istio's CRDs have some twice, as mirrorPercent and mirror_percent; both
// are mirror_percent in Python, so that the second one is left out. It is deprecated wherever there are two.
func propertiesOf(schema object) map[string]object {
	all, _ := schema["properties"].(object)
	kept := map[string]object{}
	for name, member := range all {
		words := strings.Split(name, "_")
		for i := range words[1:] {
			words[i+1] = upperFirst(words[i+1])
		}
		if _, twice := all[strings.Join(words, "")]; !twice || len(words) == 1 {
			kept[name] = member.(object)
		}
	}
	return kept
}

func upperFirst(text string) string {
	if text == "" {
		return text
	}
	return strings.ToUpper(text[:1]) + text[1:]
}
