package doctor

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"sttwall/control"
	"sttwall/internal/nstest"
	"sttwall/policy"
)

// elsewhere are checks whose trouble this kernel cannot make in a namespace, and the tests
// that look at their parts.
var elsewhere = map[string]string{
	"STT-D005": "TestAFlowtableHurtsWhereNothingUntracksSTT",
	"STT-D033": "TestLROIsFoundByTheDriversWord",
	"STT-D042": "TestFOUIsAskedFor",
}

func TestEachTroubleIsFoundAndGoneAfterItsCure(t *testing.T) {
	for _, tt := range troubles {
		t.Run(tt.id+"/"+strings.ReplaceAll(tt.name, " ", "_"), func(t *testing.T) {
			r := newRig(t)
			if before := r.run(); len(before.of(tt.id)) > 0 {
				t.Fatalf("found before it was made:\n%s", before.text())
			}
			tt.make(r)
			report := r.run()
			found := report.of(tt.id)
			if len(found) == 0 {
				t.Fatalf("not found:\n%s", report.text())
			}
			f := found[0]
			if f.Severity != tt.want || !strings.Contains(f.What, tt.says) || len(f.Evidence) == 0 || f.Why == "" || f.Cure == "" {
				t.Errorf("found, but %s, %q, evidence %q", f.Severity, f.What, f.Evidence)
			}
			if len(f.Commands) == 0 && tt.byHand == nil {
				t.Fatal("no command cures it")
			}
			if tt.byHand != nil {
				tt.byHand(r)
			} else {
				for _, f := range found {
					for _, c := range f.Commands {
						line := c.String()
						if tt.moved {
							line = strings.ReplaceAll(line, " /", " "+r.root+"/")
						}
						sh(t, line)
					}
				}
			}
			// A process that was told to end takes its time.
			for end := time.Now().Add(patience); ; {
				report := r.run()
				if len(report.of(tt.id)) == 0 {
					break
				}
				if tt.id != "STT-D011" || time.Now().After(end) {
					t.Fatalf("still there after the cure:\n%s", report.text())
				}
			}
		})
	}
}

func TestEveryCheckHasItsTrouble(t *testing.T) {
	tried := make(map[string]bool)
	for _, tt := range troubles {
		tried[tt.id] = true
	}
	for _, c := range Checks() {
		if !tried[c.ID] && elsewhere[c.ID] == "" {
			t.Errorf("%s: no trouble is made for it", c.ID)
		}
		delete(tried, c.ID)
	}
	for id := range tried {
		t.Errorf("%s: no such check", id)
	}
}

// A host on which nothing hurts has no finding, and what is not asked is not passed.
func TestAGoodHostPassesAllChecks(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func(*rig)
	}{
		{"without a table", untouched},
		{"with the firewall's table", func(r *rig) {
			installTable(r)
			listens("7471 1 0 2 256 0 0 0 1\n7472 1 0 2 256 0 0 0 1")(r)
		}},
		{"with rules of others that let STT pass", func(r *rig) {
			installTable(r)
			listens("7471 1 0 2 256 0 0 0 1\n7472 1 0 2 256 0 0 0 1")(r)
			forwardFilter("ct state established,related accept", "ct state invalid drop", "ct state untracked accept")(r)
			sh(r, "iptables-nft -A FORWARD -m conntrack --ctstate INVALID -j DROP", "iptables-nft -A FORWARD -p tcp --dport 80 -j DROP")
		}},
		{"with rules for other interfaces and addresses", forwardFilter("iifname { \"eth0\", \"eth1\" } drop", "ip saddr 10.0.3.0/24 drop", "ip saddr 10.0.0.0/16 ip daddr 10.0.0.0-10.0.2.255 tcp dport 7471 accept")},
		{"with rules of others that lead to the queue", func(r *rig) {
			sh(r, "iptables-nft -t raw -A PREROUTING -p udp -j ACCEPT", "iptables-nft -t raw -N STT", "iptables-nft -t raw -A PREROUTING -p tcp --dport 7471 -j STT",
				"iptables-nft -t raw -A STT -j CT --notrack", "iptables-nft -t raw -A STT -j NFQUEUE --queue-num 7471", "iptables-nft -t raw -A PREROUTING -p tcp --dport 7471 -j ACCEPT")
		}},
		{"with the firewall's tables on a bridge", func(r *rig) {
			r.config.Hooks = []string{HookBridge}
			bridgeTable(r)
			listens("7471 1 0 2 256 0 0 0 1\n7472 1 0 2 256 0 0 0 1")(r)
		}},
		{"with chains at other interfaces and in bridges", func(r *rig) {
			sh(r, "ip link add c0 type veth peer name c1")
			nft("add table netdev early", "add chain netdev early in { type filter hook ingress device c0 priority 0; policy drop; }",
				"add chain netdev early out { type filter hook egress devices = { a1, c1 } priority 0; policy drop; }",
				"add table bridge filter", "add chain bridge filter forwarded { type filter hook forward priority 0; policy drop; }")(r)
		}},
		{"with ebtables for others", func(r *rig) {
			sh(r, "ebtables-nft -A FORWARD -p IPv4 --ip-proto 17 -j DROP", "ebtables-nft -A FORWARD -p IPv4 --ip-proto 6 --ip-dport 80 -j DROP", "ebtables-nft -A FORWARD -p IPv4 --ip-src 10.9.0.0/16 -j DROP",
				"ebtables-nft -A FORWARD -p IPv6 --ip6-proto 6 -j DROP", "ebtables-nft -A FORWARD -p ARP -j DROP")
			r.config.Hooks = []string{HookBridge}
		}},
		{"with rules about the flags of real TCP", forwardFilter("tcp flags & (syn | rst) != 0 drop", "tcp flags ! ack drop", "meta l4proto tcp accept")},
	} {
		t.Run(strings.ReplaceAll(tt.name, " ", "_"), func(t *testing.T) {
			r := newRig(t)
			tt.make(r)
			dropsOf(r, 0)
			r.config.Kernel = nil
			report := r.run()
			passed, unknown := report.Passed()
			if report.Findings == nil || len(report.Findings) > 0 || unknown > 0 || passed != len(Checks()) || report.Hurts() {
				t.Errorf("%d of %d passed, %d unknown\n%s", passed, len(Checks()), unknown, report.text())
			}
			for _, o := range report.Checks {
				if o.Seen == "" {
					t.Errorf("%s passed, and nothing was seen", o.ID)
				}
			}
		})
	}
}

func TestWhatIsNotAskedIsNotPassed(t *testing.T) {
	r := newRig(t)
	r.config.Rules = ""
	report := r.run()
	passed, unknown := report.Passed()
	if unknown == 0 || passed+unknown != len(Checks()) {
		t.Errorf("%d passed, %d unknown", passed, unknown)
	}
	for _, o := range report.Checks {
		if o.ID == "STT-D012" && o.Unknown == "" {
			t.Error("no rules file, and it is fine")
		}
	}
}

func TestFindingsAreSortedByHowMuchTheyHurt(t *testing.T) {
	r := newRig(t)
	sh(r, "ip link set dev b0 mtu 1400", "sysctl -q -w net.ipv4.ip_forward=0", "ip link add vx0 type vxlan id 1 dstport 4789 dev a0")
	var got []string
	for _, f := range r.run().Findings {
		got = append(got, f.Severity.String())
	}
	if strings.Join(got, " ") != "broken risk hint" {
		t.Errorf("got %q", got)
	}
}

func TestAnUnknownHookIsRefused(t *testing.T) {
	if _, err := Run(t.Context(), Config{Hooks: []string{"postrouting"}}); err == nil || !strings.Contains(err.Error(), "prerouting") {
		t.Errorf("got %v", err)
	}
}

func TestLROIsFoundByTheDriversWord(t *testing.T) {
	f := lroFinding("eth0.7")
	if f.Commands[0].String() != "ethtool -K eth0.7 lro off" || !f.Safe {
		t.Errorf("%+v", f)
	}
	r := newRig(t)
	if out, err := exec.Command("ethtool", "-K", "a0", "lro", "on").CombinedOutput(); err == nil {
		t.Fatalf("veth can do LRO on this kernel: make the trouble in the table\n%s", out)
	}
	flags, err := ethtool("a0", ethtoolGetFlags)
	if err != nil || flags&flagLRO != 0 {
		t.Errorf("%#x, %v", flags, err)
	}
	sh(r, "ethtool -K a0 gro on")
	if gro, err := ethtool("a0", ethtoolGetGRO); err != nil || gro != 1 {
		t.Errorf("GRO %d, %v", gro, err)
	}
	if _, err := ethtool("c0", ethtoolGetGRO); err == nil {
		t.Error("an interface that is not there has offloads")
	}
}

func TestAFlowtableHurtsWhereNothingUntracksSTT(t *testing.T) {
	r := newRig(t)
	look := func() []Finding {
		h := &host{Config: r.config, ctx: t.Context(), settings: policy.Settings{STTPorts: []uint16{7471}}}
		h.Hooks = []string{HookPrerouting}
		s, err := h.rules()
		must(t, err)
		s.flowtables = []string{"table inet fast, flowtable ft"} // which not every kernel has
		_, found, err := offloaded(h)
		must(t, err)
		return found
	}
	found := look()
	if len(found) != 1 {
		t.Fatalf("got %v", found)
	}
	for _, c := range found[0].Commands {
		sh(t, c.String())
	}
	if found := look(); len(found) > 0 {
		t.Errorf("still there: %v", found)
	}
}

func TestFOUIsAskedFor(t *testing.T) {
	nstest.Enter(t)
	if err := exec.Command("ip", "fou", "add", "port", "5555", "ipproto", "4").Run(); err != nil {
		if seen, found, err := fouPorts(new(host)); err != nil || len(found) > 0 || seen != "the kernel has no FOU" {
			t.Errorf("got %q, %v, %v", seen, found, err)
		}
		return
	}
	_, found, err := fouPorts(new(host))
	if err != nil || len(found) != 1 {
		t.Fatalf("got %v, %v", found, err)
	}
	sh(t, found[0].Commands[0].String())
	if _, found, err = fouPorts(new(host)); err != nil || len(found) > 0 {
		t.Errorf("still there: %v, %v", found, err)
	}
}

func TestInterruptsAreThoseOfTheirInterface(t *testing.T) {
	for line, want := range map[string]bool{
		"  5 5 PCI-MSIX 0-edge eth0": true, " 5 PCI-MSI 1-edge eth0-rx-0": true, " 5 IR-PCI-MSI i40e-eth0-TxRx-0": true, " 5 mlx5_comp0@pci:0000:01:00.0-eth0": true,
		" 5 PCI-MSIX 0-edge eth01-rx-0": false, " 5 PCI-MSIX veth0": false, " 5 IO-APIC uhci, eth0": true, "": false,
	} {
		if got := ofInterface(line, "eth0"); got != want {
			t.Errorf("%q: got %v", line, got)
		}
	}
	if mask([]int{0, 1, 33}) != "2,00000003" || mask([]int{3}) != "8" {
		t.Errorf("masks %q, %q", mask([]int{0, 1, 33}), mask([]int{3}))
	}
}

func TestCommandsAreWrittenAsAShellTakesThem(t *testing.T) {
	for _, c := range []Command{{"echo", "a b", "", "it's", "$HOME", "{ x; }", "a=b", "net/ipv4/conf/eth0.7/rp_filter=2"}} {
		out, err := exec.Command("sh", "-c", "printf '%s\\n' "+Command(c[1:]).String()).Output()
		if got := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n"); err != nil || strings.Join(got, "|") != strings.Join(c[1:], "|") {
			t.Errorf("%s: got %q, %v", c, got, err)
		}
	}
}

// sixEndpoints makes the endpoints IPv6 ones.
func sixEndpoints(r *rig) {
	r.Helper()
	sh(r, "ip address add fd00:1::1/64 dev a0 nodad; ip address add fd00:2::1/64 dev b0 nodad", "sysctl -q -w net.ipv6.conf.all.forwarding=1")
	r.rules(`"fd00:1::2", "fd00:2::2"`, "")
}

// without is a file system that lacks a folder, until somebody loads what makes it.
type without struct {
	fs.FS
	folder string
}

func (w without) Open(name string) (fs.File, error) {
	if strings.HasPrefix(name, w.folder) {
		if _, err := fs.Stat(w.FS.(over).upper, "loaded"); err != nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
	}
	return w.FS.Open(name)
}

func (w without) ReadLink(name string) (string, error) { return w.FS.(over).ReadLink(name) }

func (w without) Lstat(name string) (fs.FileInfo, error) { return w.FS.(over).Lstat(name) }

// How a kernel was built is read from itself, else from beside it.
func TestTheKernelsConfigurationIsQuoted(t *testing.T) {
	root := fstest.MapFS{
		"proc/sys/kernel/osrelease": {Data: []byte("6.1.0\n")},
		"boot/config-6.1.0":         {Data: []byte("CONFIG_NFT_HASH=m\n# CONFIG_NFT_QUEUE is not set\n")},
	}
	h := &host{Config: Config{Root: root}}
	for text, want := range map[string]string{
		"CONFIG_NFT_HASH": "/boot/config-6.1.0: CONFIG_NFT_HASH=m", "CONFIG_NFT_QUEUE": "/boot/config-6.1.0: # CONFIG_NFT_QUEUE is not set", "CONFIG_NFT_CT": "/boot/config-6.1.0: no CONFIG_NFT_CT",
	} {
		if got := h.config(text); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got := h.configs("CONFIG_NFT_HASH, or CONFIG_NFT_CT"); len(got) != 2 {
		t.Errorf("got %q", got)
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	fmt.Fprintln(w, "CONFIG_NFT_CT=y")
	must(t, w.Close())
	root["proc/config.gz"] = &fstest.MapFile{Data: packed.Bytes()}
	if got := h.config("CONFIG_NFT_CT"); got != "/proc/config.gz: CONFIG_NFT_CT=y" {
		t.Errorf("got %q", got)
	}
	delete(root, "proc/config.gz")
	delete(root, "boot/config-6.1.0")
	if got := h.config("CONFIG_NFT_CT"); !strings.Contains(got, "not known") {
		t.Errorf("got %q", got)
	}
}

// The parts of the kernel that are asked for are those of the table that run would make.
func TestWhatTheTableWantsIsAskedFor(t *testing.T) {
	r := newRig(t)
	r.config.Kernel = nil
	for _, tt := range []struct {
		hooks          []string
		more           string
		wanted, absent []string
	}{
		{[]string{HookPrerouting}, "", []string{"notrack", "what came out of IPsec", "the whole table"}, []string{"nftables tables of family bridge", "what is for this host", "rates"}},
		{[]string{HookOutput}, "endpoint_rate = \"1000/s\"", []string{"rates", "the whole table"}, []string{"what came out of IPsec"}},
		{[]string{HookBridge, HookOutput}, "only_stt = true", []string{"nftables tables of family bridge", "what came out of IPsec", "what is for this host", "the whole table"}, []string{"rates"}},
	} {
		r.rules(`"10.0.1.2", "10.0.2.2"`, tt.more)
		h := &host{Config: r.config, ctx: t.Context()}
		h.Hooks = tt.hooks
		h.load()
		if h.refused != nil {
			t.Fatal(h.refused)
		}
		asked := make(map[string]bool)
		for _, p := range h.kernel() {
			asked[p.Name] = true
			if p.Err != nil {
				t.Errorf("%v: %s: %v", tt.hooks, p.Name, p.Err)
			}
		}
		for _, name := range tt.wanted {
			if !asked[name] {
				t.Errorf("%v: %s is not asked for", tt.hooks, name)
			}
		}
		for _, name := range tt.absent {
			if asked[name] {
				t.Errorf("%v: %s is asked for", tt.hooks, name)
			}
		}
	}
}

func dropsOf(r *rig, fragments uint64) {
	r.config.Drops = func(context.Context) ([]control.Drop, error) {
		return []control.Drop{{Reason: "rule_drop", Count: 1000, Where: "firewall"}, {Reason: "outer_fragment", Count: fragments, Where: "table"}}, nil
	}
}

// startProcess starts a process that has these two words as its command line, and does
// nothing: a shell that reads a script of that name.
func startProcess(r *rig, name, argument string) {
	r.Helper()
	dir := r.TempDir()
	must(r, os.WriteFile(dir+"/"+argument, []byte("echo here\nread line\n"), 0o600))
	cmd := exec.Cmd{Path: "/bin/sh", Args: []string{name, argument}, Dir: dir}
	in, err := cmd.StdinPipe()
	must(r, err)
	out, err := cmd.StdoutPipe()
	must(r, err)
	must(r, cmd.Start())
	if _, err := out.Read(make([]byte, 5)); err != nil { // it runs what it is to run
		r.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	r.Cleanup(func() { in.Close(); <-ended })
}

// attachXDP attaches a program that lets everything pass.
func attachXDP(r *rig) {
	r.Helper()
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.XDP, License: "GPL", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()}})
	if err != nil {
		if nstest.InUserNamespace() {
			r.Skipf("an ordinary user loads no BPF programs: %v", err)
		}
		r.Fatal(err)
	}
	defer program.Close()
	a0, err := netlink.LinkByName("a0")
	must(r, err)
	must(r, netlink.LinkSetXdpFd(a0, program.FD()))
}

// spoof has a packet come in on a0 whose way back is b0, and waits until it is counted.
func spoof(r *rig) {
	r.Helper()
	h := &host{Config: r.config}
	deadline := time.Now().Add(patience)
	for {
		sendUDP(r, "a1", "a0", netip.MustParseAddr("10.0.2.9"), netip.MustParseAddr("10.0.1.1"))
		if n, err := h.counter(procNet+"netstat", "IPReversePathFilter"); err != nil || n > 0 {
			must(r, err)
			return
		}
		if time.Now().After(deadline) {
			r.Fatal("the kernel has not dropped it")
		}
	}
}

// sendUDP sends a UDP datagram out of one end of a veth pair to the other.
func sendUDP(r *rig, from, to string, src, dst netip.Addr) {
	r.Helper()
	out, err := netlink.LinkByName(from)
	must(r, err)
	in, err := netlink.LinkByName(to)
	must(r, err)
	p := append(append([]byte{}, in.Attrs().HardwareAddr...), out.Attrs().HardwareAddr...)
	p = append(p, 0x08, 0x00, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0)
	p = append(append(p, src.AsSlice()...), dst.AsSlice()...)
	var sum uint32
	for i := 14; i < len(p); i += 2 {
		sum += uint32(p[i])<<8 | uint32(p[i+1])
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	p[24], p[25] = byte(^sum>>8), byte(^sum)
	p = append(p, 0x12, 0x34, 0x12, 0x34, 0, 8, 0, 0)
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	must(r, err)
	defer unix.Close(fd)
	must(r, unix.Sendto(fd, p, 0, &unix.SockaddrLinklayer{Ifindex: out.Attrs().Index}))
}

// connectSTT makes a connection to the STT port, over loopback.
func connectSTT(r *rig) {
	r.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:7471")
	must(r, err)
	r.Cleanup(func() { l.Close() })
	c, err := net.Dial("tcp", "127.0.0.1:7471")
	must(r, err)
	r.Cleanup(func() { c.Close() })
}
