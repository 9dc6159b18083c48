package nstest

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
)

func TestATestIsRootInANetworkOfItsOwn(t *testing.T) {
	before := network(t)
	if !Isolate(t) {
		return
	}
	Enter(t)
	if os.Geteuid() != 0 || network(t) == before {
		t.Errorf("user %d, in %s as before", os.Geteuid(), before)
	}
	links, err := netlink.LinkList()
	if err != nil || len(links) != 1 || links[0].Attrs().Name != "lo" || links[0].Attrs().RawFlags&1 == 0 { // IFF_UP
		t.Errorf("got %v, %v", links, err)
	}
	if err := netlink.LinkAdd(&netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Name: "own0"}}); err != nil {
		if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "own0"}, PeerName: "own1"}); err != nil {
			t.Errorf("no interface can be made: %v", err)
		}
	}
}

// In CI a test that cannot run is one that fails; elsewhere it says why it did not.
func TestWhatCannotRunIsNoPassedTest(t *testing.T) {
	for _, ci := range []string{"true", ""} {
		t.Setenv("CI", ci)
		seen := &recorder{TB: t}
		Cannot(seen, "no %s", "tun")
		if ci == "true" && (seen.skipped != "" || !strings.HasSuffix(seen.failed, ": no tun")) || ci == "" && (seen.failed != "" || seen.skipped != "no tun") {
			t.Errorf("CI=%q: %+v", ci, seen)
		}
	}
}

// recorder is a test of which is kept how it ended. It goes on behind that.
type recorder struct {
	testing.TB
	failed, skipped string
}

func (r *recorder) Fatalf(format string, args ...any) {
	if r.failed == "" && r.skipped == "" {
		r.failed = fmt.Sprintf(format, args...)
	}
}

func (r *recorder) Skipf(format string, args ...any) {
	if r.failed == "" && r.skipped == "" {
		r.skipped = fmt.Sprintf(format, args...)
	}
}

func network(t *testing.T) string {
	t.Helper()
	name, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	return name
}
