package evasion

import (
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write docs/evasion.md anew")

func TestTheCatalogueIsThatOfTheCases(t *testing.T) {
	const path = "../../docs/evasion.md"
	want := Catalogue()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("docs/evasion.md is not what the cases are (make docs) (-want +got):\n%s", diff)
	}
}

func TestCasesAreTold(t *testing.T) {
	names, cases := map[string]bool{}, Cases()
	if len(cases) < 60 {
		t.Errorf("%d cases", len(cases))
	}
	for _, c := range cases {
		name := c.Class + "/" + c.Name
		if names[name] {
			t.Errorf("%s is there twice", name)
		}
		names[name] = true
		if c.Name == "" || c.Class == "" || c.Source == "" || c.Expects == "" {
			t.Errorf("%s: something is missing", name)
		}
		if c.Accepted == 0 && len(c.Reasons) == 0 {
			t.Errorf("%s: nothing is expected", name)
		}
	}
}
