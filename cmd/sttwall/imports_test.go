package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// gopacket/layers fills tables of 7 MB when a program starts that links it, whether that
// decodes anything or not.
func TestTheProgramLinksNoTablesOfGopackets(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	packages := strings.Fields(string(out))
	if !slices.Contains(packages, "sttwall/stt") {
		t.Fatalf("not the packages of the program: %v", packages)
	}
	if slices.Contains(packages, "github.com/google/gopacket/layers") {
		t.Error("gopacket/layers is linked")
	}
}
