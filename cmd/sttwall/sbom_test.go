package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// cycloneDX is CycloneDX's own schema, which comes with its library.
func cycloneDX(t *testing.T) *jsonschema.Schema {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go").Output()
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	// They name each other by their places in the web.
	for url, name := range map[string]string{"bom-1.6.schema.json": "bom-1.6.schema.json", "spdx.schema.json": "spdx.schema.json", "jsf-0.82.schema.json": "jsf-0.82.schemax.json"} {
		schema, err := jsonschema.UnmarshalJSON(strings.NewReader(readAt(t, filepath.Join(strings.TrimSpace(string(dir)), "schema", name))))
		if err != nil {
			t.Fatal(err)
		}
		if err := compiler.AddResource("http://cyclonedx.org/schema/"+url, schema); err != nil {
			t.Fatal(err)
		}
	}
	schema, err := compiler.Compile("http://cyclonedx.org/schema/bom-1.6.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func TestTheBillOfMaterialsIsCycloneDX(t *testing.T) {
	schema := cycloneDX(t)
	built := &debug.BuildInfo{
		GoVersion: "go1.26.7", Main: debug.Module{Path: "sttwall", Version: "(devel)"},
		Deps: []*debug.Module{
			{Path: "github.com/BurntSushi/toml", Version: "v1.6.0", Sum: "h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="},
			{Path: "example.com/old", Version: "v1.0.0", Replace: &debug.Module{Path: "example.com/new", Version: "v2.0.0+incompatible"}},
		},
		Settings: []debug.BuildSetting{{Key: "GOARCH", Value: "arm64"}, {Key: "vcs.time", Value: "2026-11-26T12:00:00Z"}, {Key: "-ldflags"}},
	}
	own, ok := debug.ReadBuildInfo()
	if !ok {
		t.Fatal("no build information")
	}
	for name, info := range map[string]*debug.BuildInfo{"one that was made up": built, "this test's": own} {
		var out, again bytes.Buffer
		if err := writeBOM(&out, info); err != nil {
			t.Fatal(err)
		}
		bom, err := jsonschema.UnmarshalJSON(bytes.NewReader(out.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(bom); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := writeBOM(&again, info); err != nil || again.String() != out.String() {
			t.Errorf("%s: another one the second time: %v", name, err)
		}
	}
	bom := bomOf(built)
	var got []string
	for _, c := range *bom.Components {
		line := c.PackageURL
		if c.Hashes != nil {
			line += fmt.Sprint(" ", (*c.Hashes)[0].Value)
		}
		got = append(got, line)
	}
	want := "pkg:golang/std@1.26.7\n" +
		"pkg:golang/github.com/burntsushi/toml@v1.6.0 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n" +
		"pkg:golang/example.com/new@v2.0.0%2Bincompatible"
	if strings.Join(got, "\n") != want {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
	if bom.Metadata.Timestamp != "2026-11-26T12:00:00Z" {
		t.Errorf("timestamp %q", bom.Metadata.Timestamp)
	}
}

// What `version --sbom` prints has the modules that go.mod pins for it.
func TestTheProgramPrintsItsBillOfMaterials(t *testing.T) {
	status, out, stderr := sttwall("version", "--sbom")
	if status != statusFine {
		t.Fatalf("status %d\n%s", status, stderr)
	}
	var bom struct {
		SpecVersion string
		Components  []struct{ Name, Version string }
	}
	if err := json.Unmarshal([]byte(out), &bom); err != nil || bom.SpecVersion != "1.6" {
		t.Fatalf("%v: %.200s", err, out)
	}
	versions := map[string]string{}
	for _, c := range bom.Components {
		versions[c.Name] = c.Version
	}
	pinned := readme(t, "go.mod")
	for _, name := range []string{"github.com/hashicorp/hcl/v2", "github.com/google/nftables", "github.com/landlock-lsm/go-landlock"} {
		if v := versions[name]; v == "" || !strings.Contains(pinned, name+" "+v+"\n") {
			t.Errorf("%s has version %q, which go.mod does not pin", name, v)
		}
	}
	if versions["std"] == "" {
		t.Error("the standard library is not in it")
	}
}
