package policy

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// reference writes the tables of docs/rules.md.
func referenceText() string {
	var b strings.Builder
	for _, s := range allSchemas {
		title := s.block
		if title == "" {
			title = "The file"
		}
		fmt.Fprintf(&b, "\n### %s\n\n%s\n", title, s.meaning)
		if len(s.blocks) > 0 {
			_, blocks := s.names()
			fmt.Fprintf(&b, "Blocks: `%s`.\n", strings.Join(blocks, "`, `"))
		}
		if len(s.attributes) == 0 {
			continue
		}
		b.WriteString("\n| attribute | type | default | meaning | example |\n| --- | --- | --- | --- | --- |\n")
		for _, a := range s.attributes {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | `%s` |\n", a.name, a.form, a.fallback, a.meaning, a.example)
		}
	}
	return b.String() + "\n"
}

func TestTheReferenceListsEveryAttribute(t *testing.T) {
	const path, begin, end = "../docs/rules.md", "<!-- reference -->\n", "<!-- end of reference -->"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	got, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatal("docs/rules.md has no place for the reference")
	}
	if *update {
		if err := os.WriteFile(path, []byte(before+begin+referenceText()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(got, referenceText()); diff != "" {
		t.Errorf("docs/rules.md is not what the tables say (run with -update):\n%s", diff)
	}
}

// Where an attribute stands, with what else the block needs. %s is its line.
var around = map[*schema]string{
	settingsSchema:  "settings {\n %s\n}\ntenant \"t\" {\n context_ids = [1]\n}",
	timeoutsSchema:  "settings {\n endpoints = [\"any\"]\n timeouts {\n %s\n }\n}\ntenant \"t\" {\n context_ids = [1]\n}",
	groupSchema:     prelude + "address_group \"x\" {\n %s\n}\naddress_group \"other\" {\n addresses = [\"10.9.0.1\"]\n}",
	serviceSchema:   prelude + "service \"x\" {\n %s\n}\nservice \"http\" {\n protocol = \"tcp\"\n}",
	tenantSchema:    prelude + "tenant \"x\" {\n %s\n}",
	limitsSchema:    prelude + "tenant \"x\" {\n context_ids = [1]\n limits {\n %s\n }\n}",
	antiSpoofSchema: prelude + groups + inTenant + " anti_spoof {\n %s\n }\n}",
	bindingSchema:   prelude + groups + inTenant + " anti_spoof {\n binding \"x\" {\n %s\n }\n }\n}",
	ruleSchema:      prelude + inRule + " %s\n }\n}",
	limitSchema:     prelude + inRule + " action = \"accept\"\n limit {\n %s\n }\n }\n}",
	setSchema:       prelude + inRule + " action = \"accept\"\n set {\n %s\n }\n }\n}",
	timeSchema:      prelude + inRule + " action = \"accept\"\n time {\n %s\n }\n }\n}",
	testSchema:      prelude + acme + "test \"x\" {\n %s\n}",
	stepSchema:      prelude + acme + "test \"x\" {\n context_id = 100\n step {\n %s\n }\n}",
}

const (
	prelude  = "settings {\n endpoints = [\"any\"]\n}\ntenant \"prelude\" {\n context_ids = [9]\n}\n"
	groups   = "address_group \"web\" {\n addresses = [\"10.1.0.1\"]\n}\naddress_group \"spare\" {\n addresses = [\"10.1.0.2\"]\n}\nservice \"NAME\" {\n protocol = \"udp\"\n}\n"
	inRule   = groups + "tenant \"x\" {\n context_layout = \"ovn\"\n datapaths = [1]\n rule \"r\" {\n"
	inTenant = "tenant \"x\" {\n context_layout = \"ovn\"\n datapaths = [1]\n"
	acme     = "tenant \"acme\" {\n context_ids = [100]\n rule \"web\" {\n action = \"accept\"\n }\n}\n"
)

const anEndpoint = "endpoints = [\"10.47.1.1\"]"

// beside is what an attribute needs beside it.
var beside = map[string]string{
	"service ports": "protocol = \"tcp\"", "service source_ports": "protocol = \"tcp\"", "service tcp_flags": "protocol = \"tcp\"",
	"service icmp_type": "protocol = \"icmp\"", "service icmp_code": "protocol = \"icmp\"\n icmp_type = 3",
	"tenant datapaths":       "context_layout = \"ovn\"",
	"anti_spoof shared_macs": "learn = [\"mac\"]", "anti_spoof shared_ingress_ports": "learn = [\"ingress_port\"]",
	"anti_spoof shared_datapaths": "learn = [\"ingress_port\"]",
	"binding endpoints":           "macs = [\"02:00:00:00:00:01\"]", "binding addresses": anEndpoint, "binding macs": anEndpoint,
	"binding ingress_ports": anEndpoint, "binding datapaths": anEndpoint + "\n ingress_ports = [1]",
	"limit burst": "rate = \"1/s\"", "limit over": "rate = \"1/s\"",
}

// exampleOf is a rules file with the attribute as the reference shows it.
func exampleOf(s *schema, a attribute) string {
	lines := []string{a.name + " = " + a.example}
	if more := beside[s.blockType()+" "+a.name]; more != "" {
		lines = append(lines, more)
	}
	if s == tenantSchema && a.name != "context_ids" && a.name != "datapaths" {
		lines = append(lines, "context_ids = [77]")
	}
	if s == settingsSchema && a.name != "endpoints" {
		lines = append(lines, `endpoints = ["10.47.0.0/16"]`)
	}
	if s == ruleSchema && a.name != "action" {
		lines = append(lines, `action = "accept"`)
	}
	if s == testSchema || s == stepSchema {
		for other, example := range map[string]string{"context_id": "100", "packet": `"udp 10.0.0.1:1 > 10.0.0.2:2"`, "expect": `"accept"`} {
			if other != a.name && !(s == stepSchema && other == "context_id") {
				lines = append(lines, other+" = "+example)
			}
		}
	}
	return fmt.Sprintf(around[s], strings.Join(lines, "\n "))
}

func TestEveryAttributeLoadsAsItsExampleShows(t *testing.T) {
	for _, s := range allSchemas {
		for _, a := range s.attributes {
			t.Run(s.blockType()+" "+a.name, func(t *testing.T) {
				if around[s] == "" {
					t.Fatal("the test knows no place for it")
				}
				text := exampleOf(s, a)
				_, diags, _ := load("example.hcl", []byte(text), func(name string) ([]byte, error) {
					if filepath.Base(name) != "blocklist.txt" {
						return nil, os.ErrNotExist
					}
					return []byte("10.0.0.1\n"), nil
				})
				if len(diags) > 0 {
					t.Errorf("%v\n%s", diags, text)
				}
			})
		}
	}
}
