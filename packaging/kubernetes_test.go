package packaging

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"
)

// schemas are those of the kinds of the manifests, by apiVersion and kind.
var schemas = map[string]string{
	"apps/v1 DaemonSet": "io.k8s.api.apps.v1.DaemonSet",
	"v1 ConfigMap":      "io.k8s.api.core.v1.ConfigMap",
}

// documents reads a manifest, as JSON would have it.
func documents(t *testing.T, text []byte) (all []map[string]any) {
	t.Helper()
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var d map[string]any
		err := decoder.Decode(&d)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		asJSON, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, plain.(map[string]any))
	}
}

// validate holds a document to the schema of its kind.
func validate(t *testing.T, d map[string]any) error {
	t.Helper()
	definition, known := schemas[d["apiVersion"].(string)+" "+d["kind"].(string)]
	if !known {
		t.Fatalf("no schema of %v %v", d["apiVersion"], d["kind"])
	}
	schema, err := jsonschema.NewCompiler().Compile("schema/kubernetes.json#/$defs/" + definition)
	if err != nil {
		t.Fatal(err)
	}
	return schema.Validate(d)
}

// at follows a path of fields, and numbers of list entries.
func at(t *testing.T, d any, path ...any) any {
	t.Helper()
	for _, p := range path {
		switch key := p.(type) {
		case string:
			d = d.(map[string]any)[key]
		case int:
			d = d.([]any)[key]
		}
		if d == nil {
			t.Fatalf("there is no %v", path)
		}
	}
	return d
}

func manifests(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../deploy/kubernetes/*.yaml")
	if err != nil || len(files) != 2 {
		t.Fatal(files, err)
	}
	return files
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestTheManifestsAreWhatKubernetesTakes(t *testing.T) {
	rules := string(read(t, "../deploy/rules.audit.hcl"))
	for _, file := range manifests(t) {
		all := documents(t, read(t, file))
		if len(all) != 2 {
			t.Fatalf("%s has %d documents", file, len(all))
		}
		for _, d := range all {
			if err := validate(t, d); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
		config, set := all[0], all[1]
		if got := at(t, config, "data", "rules.hcl"); got != rules {
			t.Errorf("%s: its rules are not deploy/rules.audit.hcl:\n%s", file, got)
		}
		// What the schema does not know: what belongs together.
		labels, _ := json.Marshal(at(t, set, "spec", "selector", "matchLabels"))
		if of, _ := json.Marshal(at(t, set, "spec", "template", "metadata", "labels")); !bytes.Equal(of, labels) {
			t.Errorf("%s: the selector %s is not that of its pods, %s", file, labels, of)
		}
		pod := at(t, set, "spec", "template", "spec")
		volumes := map[string]bool{}
		for _, v := range at(t, pod, "volumes").([]any) {
			volumes[at(t, v, "name").(string)] = true
		}
		container := at(t, pod, "containers", 0)
		for _, m := range at(t, container, "volumeMounts").([]any) {
			if !volumes[at(t, m, "name").(string)] {
				t.Errorf("%s: there is no volume %v", file, at(t, m, "name"))
			}
		}
		if at(t, pod, "volumes", 0, "configMap", "name") != at(t, config, "metadata", "name") || at(t, config, "metadata", "namespace") != at(t, set, "metadata", "namespace") {
			t.Errorf("%s: the pods do not find the rules", file)
		}
		args := at(t, container, "args").([]any)
		if at(t, pod, "hostNetwork") != true || !slices.Contains(args, any("--metrics=127.0.0.1:9475")) || !slices.Contains(args, any("--rules=/etc/sttwall/rules.hcl")) {
			t.Errorf("%s: %v", file, args)
		}
		// A node sends as well as it receives: with one of the two it would see each connection half.
		if !slices.Contains(args, any("--hook=prerouting,output")) {
			t.Errorf("%s: %v", file, args)
		}
		for probe, path := range map[string]string{"startupProbe": "/readyz", "readinessProbe": "/readyz", "livenessProbe": "/healthz"} {
			get := at(t, container, probe, "httpGet")
			if at(t, get, "path") != path || at(t, get, "host") != "127.0.0.1" || at(t, get, "port") != json.Number("9475") {
				t.Errorf("%s: the %s asks %v", file, probe, get)
			}
		}
		if kind := at(t, container, "securityContext", "seccompProfile", "type"); kind != "RuntimeDefault" {
			t.Errorf("%s: seccomp profile %v", file, kind)
		}
	}
}

// The schema refuses what the API server would.
func TestTheSchemaRefusesMistakes(t *testing.T) {
	for name, change := range map[string][2]string{
		"a field that there is not": {"hostNetwork: true", "hostNetworking: true"},
		"another type":              {"terminationGracePeriodSeconds: 30", "terminationGracePeriodSeconds: soon"},
		"a field that is missing":   {"image: sttwall:latest", "name2: sttwall"},
		"a field in another place":  {"      dnsPolicy: Default", "      readOnlyRootFilesystem: true"},
	} {
		text := string(read(t, manifests(t)[0]))
		if !strings.Contains(text, change[0]) {
			t.Fatalf("the manifest has no %q", change[0])
		}
		if err := validate(t, documents(t, []byte(strings.Replace(text, change[0], change[1], 1)))[1]); err == nil {
			t.Errorf("%s passes", name)
		}
	}
}
