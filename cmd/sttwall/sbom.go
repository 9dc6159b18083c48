package main

import (
	"encoding/base64"
	"encoding/hex"
	"io"
	"runtime/debug"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// writeBOM writes what a program was built of, as CycloneDX 1.6 in JSON: the modules
// that are linked into it and Go's standard library, as the toolchain has written them
// into the program. It is the same for the same build.
func writeBOM(to io.Writer, info *debug.BuildInfo) error {
	return cdx.NewBOMEncoder(to, cdx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(bomOf(info), cdx.SpecVersion1_6)
}

func bomOf(info *debug.BuildInfo) *cdx.BOM {
	program := moduleComponent(&info.Main)
	program.Type = cdx.ComponentTypeApplication
	program.BOMRef = "sttwall"
	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{Component: &program}
	settings := []cdx.Property{}
	for _, s := range info.Settings {
		if s.Value == "" {
			continue
		}
		settings = append(settings, cdx.Property{Name: "go:build:" + s.Key, Value: s.Value})
		if s.Key == "vcs.time" {
			bom.Metadata.Timestamp = s.Value
		}
	}
	program.Properties = &settings
	// Its version is the toolchain's.
	parts := []cdx.Component{moduleComponent(&debug.Module{Path: "std", Version: strings.TrimPrefix(info.GoVersion, "go")})}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		parts = append(parts, moduleComponent(m))
	}
	// Which module uses which is not in the program.
	uses := make([]string, len(parts))
	for i, p := range parts {
		uses[i] = p.BOMRef
	}
	bom.Components = &parts
	bom.Dependencies = &[]cdx.Dependency{{Ref: program.BOMRef, Dependencies: &uses}}
	return bom
}

// moduleComponent describes a module. Its sum is that of go.sum: the SHA-256 over the
// names and sums of its files, golang.org/x/mod/sumdb/dirhash.
func moduleComponent(m *debug.Module) cdx.Component {
	// purl-spec: golang's names are in small letters.
	url := "pkg:golang/" + strings.ToLower(m.Path)
	if m.Version != "" {
		url += "@" + strings.NewReplacer("+", "%2B", "(", "%28", ")", "%29").Replace(m.Version)
	}
	c := cdx.Component{Type: cdx.ComponentTypeLibrary, BOMRef: url, Name: m.Path, Version: m.Version, PackageURL: url}
	if sum, ok := strings.CutPrefix(m.Sum, "h1:"); ok {
		if raw, err := base64.StdEncoding.DecodeString(sum); err == nil {
			c.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(raw)}}
		}
	}
	return c
}
