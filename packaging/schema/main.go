// Command schema makes kubernetes.json of the OpenAPI documents of Kubernetes: a JSON
// schema of the kinds that deploy/kubernetes uses, in which a field that Kubernetes does not
// know is a mistake.
//
//	go run ./schema FOLDER > schema/kubernetes.json
//
// FOLDER is openapi/openapitest/testdata of k8s.io/client-go (v0.37.2; Apache License 2.0).
// Descriptions and defaults are left out.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// kinds are those of the manifests, and where they stand.
var kinds = map[string]string{
	"io.k8s.api.apps.v1.DaemonSet": "apis__apps__v1_openapi.json",
	"io.k8s.api.core.v1.ConfigMap": "api__v1_openapi.json",
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "schema: want the folder of the OpenAPI documents")
		os.Exit(2)
	}
	defs := map[string]any{}
	for kind, file := range kinds {
		text, err := os.ReadFile(filepath.Join(os.Args[1], file))
		if err != nil {
			fail(err)
		}
		var document struct {
			Components struct{ Schemas map[string]any }
		}
		if err := json.Unmarshal(text, &document); err != nil {
			fail(err)
		}
		take(kind, document.Components.Schemas, defs)
	}
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", " ")
	if err := out.Encode(map[string]any{
		"$schema":  "https://json-schema.org/draft/2020-12/schema",
		"$comment": "Made by packaging/schema of the OpenAPI documents of Kubernetes in k8s.io/client-go v0.37.2, which are under the Apache License 2.0.",
		"$defs":    defs,
	}); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "schema:", err)
	os.Exit(1)
}

// take copies a definition, and those that it names.
func take(name string, from, into map[string]any) {
	if _, done := into[name]; done {
		return
	}
	into[name] = nil
	into[name] = strict(from[name], from, into)
}

// strict returns a schema without what is said to people, in which properties that it does
// not name are refused.
func strict(schema any, from, into map[string]any) any {
	switch s := schema.(type) {
	case []any:
		for i := range s {
			s[i] = strict(s[i], from, into)
		}
		return s
	case map[string]any:
		out := map[string]any{}
		for key, value := range s {
			switch {
			case key == "description" || key == "default" || strings.HasPrefix(key, "x-"):
			case key == "$ref":
				name := strings.TrimPrefix(value.(string), "#/components/schemas/")
				take(name, from, into)
				out["$ref"] = "#/$defs/" + name
			case key == "properties":
				properties := map[string]any{}
				for name, p := range value.(map[string]any) {
					properties[name] = strict(p, from, into)
				}
				out[key], out["additionalProperties"] = properties, false
			default:
				out[key] = strict(value, from, into)
			}
		}
		return out
	}
	return schema
}
