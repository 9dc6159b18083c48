package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

const root = "../.."

func TestThePicturesOfTheREADMEAreThereAndNotEmpty(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	shown := regexp.MustCompile(`\]\((docs/pictures/[a-z]+\.svg)\)`).FindAllSubmatch(readme, -1)
	if len(shown) < 2 {
		t.Errorf("the README shows %d pictures", len(shown))
	}
	for _, picture := range shown {
		words(t, filepath.Join(root, string(picture[1])))
	}
}

func TestEachPictureIsMadeByTheCommandThatIsHere(t *testing.T) {
	made := map[string]bool{}
	for _, v := range views {
		if v.name == "" {
			continue
		}
		made[v.name+".svg"] = true
		words(t, filepath.Join(root, folder, v.name+".svg"))
	}
	files, err := os.ReadDir(filepath.Join(root, folder))
	if err != nil {
		t.Fatal(err)
	}
	var charts []byte
	for _, source := range []string{"bench/report/charts.go", "internal/soak/charts.go"} { // make those of the benchmark and of long runs
		text, err := os.ReadFile(filepath.Join(root, source))
		if err != nil {
			t.Fatal(err)
		}
		charts = append(charts, text...)
	}
	for _, f := range files {
		if !made[f.Name()] && !bytes.Contains(charts, []byte(`"`+f.Name()+`"`)) {
			t.Errorf("nothing makes %s/%s", folder, f.Name())
		}
	}
}

// words fails unless the file is a picture with a screen of sttwall.
func words(t *testing.T, path string) {
	t.Helper()
	svg, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
		return
	}
	var text bytes.Buffer
	texts := 0
	for decoder := xml.NewDecoder(bytes.NewReader(svg)); ; {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Errorf("%s: %v", path, err)
			return
		}
		switch token := token.(type) {
		case xml.StartElement:
			if token.Name.Local == "text" {
				texts++
			}
		case xml.CharData:
			text.Write(token)
		}
	}
	if texts < 50 || !bytes.Contains(text.Bytes(), []byte("sttwall")) || !bytes.Contains(text.Bytes(), []byte("acme")) {
		t.Errorf("%s: %d pieces of text, %q", path, texts, &text)
	}
}
