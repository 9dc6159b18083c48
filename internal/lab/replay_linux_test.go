package lab

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sttwall/firewall"
	"sttwall/nfq"
)

// acceptAll lets every Context ID pass.
const acceptAll = `
settings {
  endpoints      = ["any"]
  default_action = "accept"
}
`

// decoded is what the captures' own decoding says of a frame, as far as it is
// compared.
type decoded struct {
	Src         string `json:"src"`
	Dst         string `json:"dst"`
	SrcPort     uint16 `json:"sport"`
	FrameID     string `json:"frame_id"`
	FrameLength int    `json:"frame_len"`
	Segments    int    `json:"segments"`
	Flags       uint8  `json:"flags"`
	L4Offset    uint8  `json:"l4_offset"`
	MSS         uint16 `json:"mss"`
	TCI         uint16 `json:"tci"`
	ContextID   string `json:"context_id"`
	InnerSHA256 string `json:"inner_sha256"`
}

func decodedOf(e firewall.FrameEvent) decoded {
	return decoded{
		Src: e.Src.String(), Dst: e.Dst.String(), SrcPort: e.SrcPort, FrameID: fmt.Sprintf("%08x", e.FrameID),
		FrameLength: e.FrameLength, Segments: e.Segments,
		Flags: e.Header.Flags, L4Offset: e.Header.L4Offset, MSS: e.Header.MSS, TCI: e.Header.TCI,
		ContextID:   fmt.Sprintf("%016x", e.Header.ContextID),
		InnerSHA256: fmt.Sprintf("%x", sha256.Sum256(e.InnerData))[:16],
	}
}

func readDecoded(t *testing.T, file string) []decoded {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var list []decoded
	lines := bufio.NewScanner(f)
	for lines.Buffer(nil, 1<<20); lines.Scan(); {
		var d decoded
		if err := json.Unmarshal(lines.Bytes(), &d); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		list = append(list, d)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}

func TestCapturesThroughTheRealQueueDecodeAsTheyWereRecorded(t *testing.T) {
	if !Inside(t) {
		return
	}
	files, err := filepath.Glob("../../testdata/pcaps/*.pcap")
	if err != nil || len(files) == 0 {
		t.Fatalf("no captures: %v", err)
	}
	l := newLab(t, Config{Rules: []byte(acceptAll), RulesName: "all.hcl", KeepInner: 1 << 16, Without: Endpoints, ReassemblyTimeout: testBound})
	for _, file := range files {
		name := strings.TrimSuffix(file, ".pcap")
		t.Run(filepath.Base(name), func(t *testing.T) {
			events, err := l.Replay(bounded(t), file)
			if err != nil {
				t.Fatal(err)
			}
			var got []decoded
			for _, e := range events {
				if e.Verdict != firewall.Accept {
					t.Errorf("frame %08x: %s", e.FrameID, e.Reason)
				}
				got = append(got, decodedOf(e))
			}
			if diff := cmp.Diff(readDecoded(t, name+".frames.jsonl"), got); diff != "" {
				t.Errorf("frames differ (-recorded +got):\n%s", diff)
			}
		})
	}
	if lost := slices.IndexFunc(l.QueueStats(), func(s nfq.Stats) bool { return s.Overruns > 0 }); lost >= 0 {
		t.Errorf("queue %d was overrun", lost)
	}
}
