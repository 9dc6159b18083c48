package doctor

import (
	"fmt"
	"testing"
)

// Whoever can name an interface or a chain has root run or paste nothing of it.
func TestNamesStayNamesInCommands(t *testing.T) {
	for _, c := range []struct{ name, want string }{
		{"eth0.100", "ip link set dev eth0.100 mtu 1400"},
		{"br-int@x_1", "ip link set dev br-int@x_1 mtu 1400"},
		{"eth0\u2003down", ""}, // no space to the kernel, and one to Unicode
		{"eth0;reboot", ""},
		{"$(reboot)", ""},
		{"-force", ""},
		{"*", ""},
		{"a=b", ""},
		{"", ""},
	} {
		if got := command("ip link set dev %s mtu %d", c.name, 1400).String(); got != c.want {
			t.Errorf("%q: got %q, want %q", c.name, got, c.want)
		}
	}
	if got := sysctl("proc/sys/net/ipv4/conf/e*/rp_filter", "2"); got != nil {
		t.Errorf("a pattern: got %q", got)
	}
	odd := &chain{family: "inet", table: "x;flush ruleset", name: "forward"}
	for _, c := range odd.accept([]uint16{7471}) {
		if c != nil {
			t.Errorf("a table whose name is a command of nft: got %q", c)
		}
	}
}

func TestAFindingWhoseNamesAreNotTrustedHasNoCommand(t *testing.T) {
	r := newRig(t)
	const name = "b0\u2003down"
	sh(r, "ip link set dev b0 gso_max_size 100000", "ip link set dev b0 down", fmt.Sprintf("ip link set dev b0 name '%s'", name), fmt.Sprintf("ip link set dev '%s' up", name))
	report := r.run()
	found := report.of("STT-D032")
	if len(found) != 1 || found[0].Commands != nil || found[0].Safe || found[0].Cure != "Keep super-segments below 64 KiB. "+noCommand {
		t.Errorf("got %+v\n%s", found, report.text())
	}
}
