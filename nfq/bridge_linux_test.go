package nfq

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"sttwall/internal/nstest"
)

func TestFramesInWhichSTTCouldPassUnseenAreDropped(t *testing.T) {
	inner := func(kind ...byte) []byte { return append(kind, marked(outer{}, 1)...) }
	tagged := func(first, second uint16) []byte {
		return []byte{byte(first >> 8), byte(first), 0, 7, byte(second >> 8), byte(second), 0, 8, 0x08, 0x00}
	}
	ip := marked(outer{}, 1)
	length := func(llc []byte) []byte { return append([]byte{0, byte(len(llc) + len(ip))}, llc...) }
	for _, c := range []struct {
		name   string
		type_  []byte // behind the addresses, up to the packet
		passes bool
	}{
		{"two tags", tagged(0x8100, 0x8100), false},
		{"a provider's and a customer's tag", tagged(0x88a8, 0x8100), false},
		{"a customer's and a provider's tag", tagged(0x8100, 0x88a8), false},
		{"a tag of 0x9100", tagged(0x9100, 0x8100), false},
		{"a tag of 0x9100 behind another", tagged(0x8100, 0x9100), false},
		{"PPPoE", []byte{0x88, 0x64, 0x11, 0, 0, 1, 0, 66, 0, 0x21}, false},
		{"PPPoE with a tag", []byte{0x81, 0, 0, 7, 0x88, 0x64, 0x11, 0, 0, 1, 0, 66, 0, 0x21}, false},
		{"MPLS", []byte{0x88, 0x47, 0, 1, 0x01, 0x40}, false},
		{"MPLS for many", []byte{0x88, 0x48, 0, 1, 0x01, 0x40}, false},
		{"MPLS with a tag", []byte{0x81, 0, 0, 7, 0x88, 0x47, 0, 1, 0x01, 0x40}, false},
		{"MACsec", []byte{0x88, 0xe5, 0, 0, 0, 0, 0, 1}, false},
		{"MAC in MAC", []byte{0x88, 0xe7, 0, 0, 0, 1}, false},
		{"TrustSec", []byte{0x89, 0x09, 1, 1, 0, 1, 0, 7, 0x08, 0x00}, false},
		{"TrustSec with a tag", []byte{0x81, 0, 0, 7, 0x89, 0x09, 1, 1, 0, 1, 0, 7, 0x08, 0x00}, false},
		{"FabricPath", slices.Concat([]byte{0x89, 0x03, 0, 0x48}, rightMAC, leftMAC, []byte{0x08, 0x00}), false},
		{"a CN-tag", []byte{0x22, 0xe9, 0, 7, 0x08, 0x00}, false},
		{"an R-tag", []byte{0xf1, 0xc1, 0, 0, 0, 7, 0x08, 0x00}, false},
		{"an R-tag with a tag", []byte{0x81, 0, 0, 7, 0xf1, 0xc1, 0, 0, 0, 7, 0x08, 0x00}, false},
		{"HSR", []byte{0x89, 0x2f, 0, 60, 0, 7, 0x08, 0x00}, false},
		{"IP in SNAP", length([]byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 0}), false},
		{"IP in SNAP with a tag", append([]byte{0x81, 0, 0, 7}, length([]byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 0})...), false},
		{"IP in SNAP of 802.1H", length([]byte{0xaa, 0xaa, 3, 0, 0, 0xf8, 8, 0}), false},
		{"IP behind its old SAP", length([]byte{6, 6, 3}), false},
		{"another SNAP", length([]byte{0xaa, 0xaa, 3, 0, 0, 0x0c, 0x20, 0}), true},
		{"spanning tree", length([]byte{0x42, 0x42, 3}), true},
		{"ARP", []byte{0x08, 0x06}, true},
		{"ARP with a tag", []byte{0x81, 0, 0, 7, 0x08, 0x06}, true},
		{"PPPoE's discovery", []byte{0x88, 0x63}, true},
		{"time", []byte{0x88, 0xf7}, true},
		{"loss measurement of 802.1ag", []byte{0x89, 0x02}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newHostBridge(t)
			config := TableConfig{Ports: []uint16{testPort}, Queues: 1, Hooks: HooksOf(HookBridge)}
			send := func() []uint32 {
				b.send(t, slices.Concat(rightMAC, leftMAC, inner(c.type_...)))
				return b.forwarded(t)
			}
			if got := send(); len(got) != 1 {
				t.Fatalf("without a table %d frames are forwarded, want 1", len(got))
			}
			table, err := InstallTable(config)
			must(t, err)
			want := TableCounters{}
			if !c.passes {
				want.Encapsulated = 1
			}
			if got := len(send()) == 1; got != c.passes {
				t.Errorf("passes: got %v, want %v", got, c.passes)
			}
			counted, err := table.Counters()
			must(t, err)
			if diff := cmp.Diff(counted, want); diff != "" {
				t.Errorf("counters (-got +want):\n%s", diff)
			}
			// As other tunnels may, by choice.
			config.PassOtherTunnels = true
			table, err = table.update(config)
			must(t, err)
			if got := send(); len(got) != 1 {
				t.Errorf("where other tunnels may pass: got %d frames, want 1", len(got))
			}
			_, err = table.check()
			must(t, err)
		})
	}
}

// setting reads one of br_netfilter's.
func setting(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("/proc/sys/net/bridge/" + name)
	must(t, err)
	return strings.TrimSpace(string(text))
}

// allSettings reads all of br_netfilter's, in the order of neededSettings.
func allSettings(t *testing.T) (s []string) {
	t.Helper()
	for _, n := range neededSettings() {
		s = append(s, setting(t, n.name))
	}
	return s
}

// noTables checks that none of ours is left.
func noTables(t *testing.T) {
	t.Helper()
	for _, family := range []nftables.TableFamily{nftables.TableFamilyINet, nftables.TableFamilyBridge} {
		if handle, err := tableHandle(0, family); err != nil || handle != 0 {
			t.Errorf("family %d: table %d, %v: want none", family, handle, err)
		}
	}
}

func TestBrNetfilterIsPutBackAsItWas(t *testing.T) {
	config := TableConfig{Ports: []uint16{testPort}, Queues: 1, Hooks: HooksOf(HookBridge)}
	foreign := config
	foreign.Hooks = 0
	for _, c := range []struct {
		name string
		do   func(t *testing.T) // after which the settings are as before
	}{
		{"the table is removed", func(t *testing.T) {}},
		{"another table takes its place, and is removed", func(t *testing.T) {
			_, err := InstallTable(config)
			must(t, err)
		}},
		{"a table without bridges takes its place", func(t *testing.T) {
			_, err := InstallTable(foreign)
			must(t, err)
			if diff := cmp.Diff(allSettings(t), []string{"0", "1", "0"}); diff != "" {
				t.Errorf("under the other table (-got +want):\n%s", diff)
			}
		}},
		{"it was there since the boot", func(t *testing.T) {
			must(t, RemoveTable(0))
			installed, err := InstallBootTable(config)
			if err != nil || !installed {
				t.Fatalf("got %v, %v", installed, err)
			}
			_, err = InstallTable(config)
			must(t, err)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			enterNS(t)
			must(t, os.WriteFile("/proc/sys/net/bridge/bridge-nf-call-iptables", []byte("0"), 0))
			_, err := InstallTable(config)
			must(t, err)
			if diff := cmp.Diff(allSettings(t), []string{"1", "1", "1"}); diff != "" {
				t.Errorf("under the table (-got +want):\n%s", diff)
			}
			c.do(t)
			must(t, RemoveTable(0))
			if diff := cmp.Diff(allSettings(t), []string{"0", "1", "0"}); diff != "" {
				t.Errorf("after the table (-got +want):\n%s", diff)
			}
			noTables(t)
		})
	}
}

// Wherever a program ends between br_netfilter's settings and the table: the next one puts
// them back.
func TestBrNetfilterIsPutBackAfterACrash(t *testing.T) {
	config := TableConfig{Ports: []uint16{testPort}, Queues: 1, Hooks: HooksOf(HookBridge)}
	foreign := config
	foreign.Hooks = 0
	install := func(c TableConfig) func(*testing.T) {
		return func(t *testing.T) {
			_, err := InstallTable(c)
			must(t, err)
		}
	}
	remove := func(t *testing.T) { must(t, RemoveTable(0)) }
	halfInstalled := func(t *testing.T) {
		b, err := config.bridging()
		must(t, err)
		b.settings.close()
	}
	halfRemoved := func(t *testing.T) {
		_, _, err := takeAway(0)
		must(t, err)
	}
	for _, crash := range []struct {
		name string
		do   []func(*testing.T) // the last one in parts
	}{
		{"while it is installed", []func(*testing.T){halfInstalled}},
		{"while it is installed where another one is", []func(*testing.T){install(foreign), halfInstalled}},
		{"while it is installed again", []func(*testing.T){install(config), halfInstalled}},
		{"while it is removed", []func(*testing.T){install(config), halfRemoved}},
		{"while one without bridges takes its place", []func(*testing.T){install(config), func(t *testing.T) {
			b, err := foreign.bridging()
			must(t, err)
			_, err = putTable(foreign, targetDrop, b, TableCounters{}, b.replaceTable, nil)
			must(t, err)
		}}},
		{"while it is restored", []func(*testing.T){func(t *testing.T) {
			table, err := InstallTable(config)
			must(t, err)
			conn, err := connect(0)
			must(t, err)
			conn.FlushRuleset()
			must(t, conn.Flush())
			must(t, table.bridge.show())
		}}},
	} {
		for _, then := range []struct {
			name string
			do   []func(*testing.T)
		}{
			{"it is removed", []func(*testing.T){remove}},
			{"one without bridges is installed", []func(*testing.T){install(foreign)}},
			{"it is installed and removed", []func(*testing.T){install(config), remove}},
			{"it is put in at boot, installed and removed", []func(*testing.T){
				func(t *testing.T) { _, err := InstallBootTable(config); must(t, err) }, install(config), remove,
			}},
			{"the same crash, and it is removed", []func(*testing.T){halfInstalled, remove}},
		} {
			t.Run(crash.name+", then "+then.name, func(t *testing.T) {
				enterNS(t)
				must(t, os.WriteFile("/proc/sys/net/bridge/bridge-nf-call-iptables", []byte("0"), 0))
				for _, do := range crash.do {
					do(t)
				}
				if diff := cmp.Diff(allSettings(t), []string{"1", "1", "1"}); diff != "" {
					t.Errorf("after the crash (-got +want):\n%s", diff)
				}
				for _, do := range then.do {
					do(t)
				}
				if diff := cmp.Diff(allSettings(t), []string{"0", "1", "0"}); diff != "" {
					t.Errorf("at the end (-got +want):\n%s", diff)
				}
				if handle, err := tableHandle(0, nftables.TableFamilyBridge); err != nil || handle != 0 {
					t.Errorf("a table of family bridge is left: %d, %v", handle, err)
				}
			})
		}
	}
}

// A firewall without bridges runs wherever it can, whatever an earlier one has left.
func TestBrNetfilterThatCannotBePutBackStopsNoStart(t *testing.T) {
	config := TableConfig{Ports: []uint16{testPort}, Queues: 1, Hooks: HooksOf(HookBridge)}
	for _, c := range []struct {
		name    string
		hide    func() error
		left    bool     // what it was like before is still to be put back
		removed []string // settings once the table was removed where they can be written
	}{
		{"/proc/sys is read-only", func() error {
			const settings = "/proc/sys/net/bridge"
			if err := unix.Mount(settings, settings, "", unix.MS_BIND, ""); err != nil {
				return err
			}
			return unix.Mount("", settings, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
		}, true, []string{"0", "1", "0"}},
		{"br_netfilter is gone", func() error { return unix.Mount("tmpfs", "/proc/sys/net/bridge", "tmpfs", unix.MS_RDONLY, "") },
			false, []string{"1", "1", "1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			enterNS(t)
			must(t, os.WriteFile("/proc/sys/net/bridge/bridge-nf-call-iptables", []byte("0"), 0))
			_, err := InstallTable(config)
			must(t, err)
			// This thread alone has other mounts, and ends with the test.
			err = unix.Unshare(unix.CLONE_NEWNS)
			if err == nil {
				err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
			}
			if err == nil {
				err = c.hide()
			}
			if err != nil {
				nstest.Cannot(t, "no mount can be made here: %v", err)
			}
			config := config
			config.Hooks = HooksOf(HookPrerouting)
			for range 2 { // the first must not have left what stops the second
				table, err := InstallTable(config)
				must(t, err)
				if left := table.bridgeLeft != nil; left != c.left {
					t.Errorf("left: %v, want %v", table.bridgeLeft, c.left)
				}
				if _, err := table.check(); err != nil {
					t.Error(err)
				}
			}
			if err := RemoveTable(0); (err != nil) != c.left {
				t.Errorf("remove: %v", err)
			}
			must(t, unix.Unmount("/proc/sys/net/bridge", unix.MNT_DETACH))
			must(t, RemoveTable(0))
			if diff := cmp.Diff(allSettings(t), c.removed); diff != "" {
				t.Errorf("settings at the end (-got +want):\n%s", diff)
			}
			noTables(t)
		})
	}
}

func TestABridgeThatCannotBeMadeReadyIsLeftAsItWas(t *testing.T) {
	enterNS(t)
	must(t, os.WriteFile("/proc/sys/net/bridge/bridge-nf-call-iptables", []byte("0"), 0))
	b, err := TableConfig{Hooks: HooksOf(HookBridge)}.bridging()
	must(t, err)
	b.undo()
	if diff := cmp.Diff(allSettings(t), []string{"0", "1", "0"}); diff != "" {
		t.Errorf("settings (-got +want):\n%s", diff)
	}
	noTables(t)
}

func TestABridgeThatIsNotInspectedAnyMoreIsALoss(t *testing.T) {
	needCommand(t, "nft")
	for _, c := range []struct {
		name, command string
		want          error
	}{
		{"IPv4 is not shown", "0 bridge-nf-call-iptables", ErrBridgePasses},
		{"IPv6 is not shown", "0 bridge-nf-call-ip6tables", ErrBridgePasses},
		{"VLANs are not shown", "0 bridge-nf-filter-vlan-tagged", ErrBridgePasses},
		{"the table of bridges is deleted", "nft delete table bridge sttwall", ErrTableGone},
		{"the table of bridges has lost its rules", "nft flush chain bridge sttwall encapsulated", ErrTableChanged},
		{"all rules are flushed", "nft flush ruleset", ErrTableGone},
	} {
		t.Run(c.name, func(t *testing.T) {
			enterNS(t)
			in, err := StartInline(InlineConfig{
				Policy: settingsPolicy(t, `endpoints = ["10.0.0.0/8"]`), Queue: Config{NetNS: currentNS(t)}, Queues: 1, FrameIDBits: 10, Hooks: HooksOf(HookBridge),
			})
			must(t, err)
			losses := watchIt(t, in, true)
			before := run(t, "nft", "list", "ruleset")
			if name, ok := strings.CutPrefix(c.command, "0 "); ok {
				must(t, os.WriteFile("/proc/sys/net/bridge/"+name, []byte("0"), 0))
			} else {
				hurt(t, c.command)
			}
			loss := lossOf(t, losses)
			if !loss.Restored || !errors.Is(loss.Why, c.want) {
				t.Errorf("got %+v, want %v, restored", loss, c.want)
			}
			if diff := cmp.Diff(run(t, "nft", "list", "ruleset"), before); diff != "" {
				t.Errorf("rules (-got +want):\n%s", diff)
			}
			must(t, in.Table().shown())
			if _, err := in.Reload(settingsPolicy(t, `endpoints = ["10.0.0.0/9"]`)); err != nil {
				t.Error(err)
			}
			_, err = in.Table().check()
			must(t, err)
		})
	}
}

func TestWhatBrNetfilterWasLikeIsReadWithCare(t *testing.T) {
	s := neededSettings()
	if diff := cmp.Diff(fmt.Sprint(parseBrSettings(s.String())), fmt.Sprint(s)); diff != "" {
		t.Errorf("what was written (-got +want):\n%s", diff)
	}
	for _, text := range []string{"", "x", "net.bridge.=1", "net.bridge.../../ipv4/ip_forward=1", "net.bridge.bridge-nf-call-iptables=", "net.bridge.bridge-nf-call-iptables=1x",
		"net.bridge.bridge-nf-call-iptables=1111111111"} {
		if got := parseBrSettings(text); got != nil {
			t.Errorf("%q: got %v, want nothing", text, got)
		}
	}
}
