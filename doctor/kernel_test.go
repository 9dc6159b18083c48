package doctor

import (
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

var (
	seed   = flag.Uint64("seed", 0, "seed of random rulesets; 0 draws one")
	rounds = flag.Int("rounds", 60, "how many random rulesets")
)

// What is said to be certain of a ruleset is what the kernel does with a packet: random
// rules, and a packet through each.
func TestWhatIsCertainIsWhatTheKernelDoes(t *testing.T) {
	r := newRig(t)
	w := newWire(r)
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	random := rand.New(rand.NewPCG(*seed, 0))
	p := packet{v4: true, src: netip.MustParseAddr("10.0.1.2"), dst: netip.MustParseAddr("10.0.2.2"), iif: "a0", oif: "b0", port: 7471}
	certain, drops := 0, 0
	refused := 0
	for round := 0; round < *rounds; round++ {
		text := randomRules(random)
		file := filepath.Join(r.root, "rules.nft")
		must(t, os.WriteFile(file, []byte(text), 0o600))
		if out, err := exec.Command("nft", "-f", file).CombinedOutput(); err != nil {
			// Some contradict themselves; nft says so.
			if refused++; refused > 4*(*rounds) || !strings.Contains(string(out), "conflicting") {
				t.Fatalf("seed %d, round %d: %v\n%s\n%s", *seed, round, err, out, text)
			}
			round--
			continue
		}
		h := &host{Config: r.config, ctx: t.Context()}
		s, err := h.rules()
		must(t, err)
		base := s.at("forward", true)
		if len(base) != 1 {
			t.Fatalf("%d chains", len(base))
		}
		q := p
		q.ct = ctUntracked
		fates := s.walk(base[0], &q)
		arrived := w.try()
		last := fates[len(fates)-1]
		possible := false
		for _, f := range fates {
			possible = possible || (f.kind == accepted) == arrived
			if f.certain {
				certain++
				if f.kind != accepted {
					drops++
				}
				if (f.kind == accepted) != arrived {
					t.Fatalf("seed %d, round %d: certainly %v by %q, and arrived is %v\n%s", *seed, round, f.kind, f.text, arrived, text)
				}
			}
		}
		if !possible {
			t.Fatalf("seed %d, round %d: arrived is %v, which none of %d fates is, the last by %q\n%s", *seed, round, arrived, len(fates), last.text, text)
		}
	}
	if certain < *rounds/2 || drops < *rounds/10 || certain-drops < *rounds/10 {
		t.Errorf("seed %d: of %d rulesets %d were certain, %d drops: the rules ask too little", *seed, *rounds, certain, drops)
	}
}

// randomRules makes a table of three chains, of which the later ones are jumped to.
func randomRules(r *rand.Rand) string {
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	match := func() string {
		return pick(
			"tcp dport 7471", "tcp dport != 7471", "tcp dport 80", "tcp dport { 22, 7471 }", "tcp dport { 22, 80 }", "tcp dport 7000-8000", "tcp dport { 1-99, 7471-7480, 9000 }", "tcp dport != { 7000-7470 }",
			"tcp dport > 7000", "tcp dport <= 7470", "udp dport 7471", "meta l4proto tcp", "meta l4proto { udp, icmp }", "ip protocol tcp", "ip protocol != tcp", "meta protocol ip", "meta nfproto ipv6", "ip6 hoplimit 64",
			"ip saddr 10.0.1.2", "ip saddr 10.0.0.0/16", "ip saddr != 10.0.1.0/24", "ip daddr { 10.0.2.1, 10.0.2.2 }", "ip daddr 10.0.3.0/24", "ip daddr { 10.0.0.0-10.0.2.1, 10.0.2.3-10.0.9.9 }",
			"ip daddr . tcp dport { 10.0.2.2 . 7471, 10.0.2.3 . 80 }", "ip saddr . ip daddr { 10.0.1.2 . 10.0.2.3 }", "ip daddr . tcp dport { 10.0.2.0/24 . 7000-7999 }",
			`iifname "a0"`, `iifname "b0"`, `iifname "a*"`, `iifname { "b0", "c0" }`, `oifname "b0"`, `oifname != "b0"`,
			"ct state untracked", "ct state invalid", "ct state established,related", "ct state { new, untracked }", "ct state != invalid", "ct mark 0", "ct status dnat",
			"tcp flags syn", "tcp flags & (syn | rst) == 0", "tcp flags ack", "tcp flags & (fin | syn | rst | ack) == ack", "tcp flags != syn",
			"ip ttl > 10", "ip ttl < 10", "meta length > 20", "meta mark 0", "tcp sport > 0", "ip dscp 0", "fib daddr type unicast", "tcp option maxseg exists", "limit rate over 1/day burst 1 packets",
		)
	}
	chains := []string{"forward", "chain_b", "chain_c"}
	var out strings.Builder
	out.WriteString("add table inet oracle\ndelete table inet oracle\ntable inet oracle {\n")
	for i := len(chains) - 1; i >= 0; i-- {
		fmt.Fprintf(&out, " chain %s {\n", chains[i])
		if i == 0 {
			fmt.Fprintf(&out, "  type filter hook forward priority 0; policy %s;\n  udp dport 9 accept\n", pick("accept", "drop"))
		}
		for range 1 + r.IntN(4) {
			verdict := func() string {
				v := pick("accept", "drop", "return", "jump", "goto", "continue")
				if v != "jump" && v != "goto" {
					return v
				}
				if i == len(chains)-1 {
					return "accept"
				}
				return v + " " + chains[i+1+r.IntN(len(chains)-1-i)]
			}
			var line string
			switch r.IntN(6) {
			case 0:
				line = fmt.Sprintf("ct state vmap { untracked : %s, invalid : %s }", verdict(), verdict())
			case 1:
				line = fmt.Sprintf("%s tcp dport vmap { 22 : %s, 7400-7500 : %s }", match(), verdict(), verdict())
			case 2:
				line = fmt.Sprintf("iifname vmap { \"a0\" : %s, \"b0\" : %s }", verdict(), verdict())
			default:
				line = match()
				if r.IntN(3) == 0 {
					line += " " + match()
				}
				line += pick("", " counter", " meta mark set 7") + " " + verdict()
			}
			out.WriteString("  " + line + "\n")
		}
		out.WriteString(" }\n")
	}
	out.WriteString("}\n")
	return out.String()
}

// wire sends packets into a0 that are forwarded by b0, and sees what arrives.
type wire struct {
	*rig
	in, out int // sockets on a1 and b1
	a1      netlink.Link
	a0      []byte // its hardware address
	stt     uint16 // number of the last packet
}

func newWire(r *rig) *wire {
	r.Helper()
	b1, err := netlink.LinkByName("b1")
	must(r, err)
	sh(r, "ip neighbour add 10.0.2.2 lladdr "+b1.Attrs().HardwareAddr.String()+" dev b0",
		"nft add table inet stt_untracked", "nft 'add chain inet stt_untracked pre { type filter hook prerouting priority raw; }'", "nft add rule inet stt_untracked pre tcp dport 7471 notrack")
	a0, err := netlink.LinkByName("a0")
	must(r, err)
	w := &wire{rig: r, a0: a0.Attrs().HardwareAddr}
	w.a1, err = netlink.LinkByName("a1")
	must(r, err)
	w.in, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	must(r, err)
	r.Cleanup(func() { unix.Close(w.in) })
	const ip = unix.ETH_P_IP>>8 | unix.ETH_P_IP&0xff<<8 // in network byte order
	w.out, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, ip)
	must(r, err)
	r.Cleanup(func() { unix.Close(w.out) })
	must(r, unix.Bind(w.out, &unix.SockaddrLinklayer{Protocol: ip, Ifindex: b1.Attrs().Index}))
	timeout := unix.NsecToTimeval(int64(patience))
	must(r, unix.SetsockoptTimeval(w.out, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout))
	// One processor: what is sent first arrives first.
	var now, one unix.CPUSet
	must(r, unix.SchedGetaffinity(0, &now))
	for cpu := range 1024 {
		if now.IsSet(cpu) {
			one.Set(cpu)
			break
		}
	}
	must(r, unix.SchedSetaffinity(0, &one))
	runtime.LockOSThread() // it stays so: the thread ends with the test
	return w
}

// try sends STT, and behind it a datagram that every ruleset lets pass, and reports
// whether the first one came too.
func (w *wire) try() (arrived bool) {
	w.Helper()
	w.stt++
	w.send(6, []byte{0x30, 0x39, 0x1d, 0x2f, 0, 60, 0, 0, 0, 0, 0, byte(w.stt), 0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0, 1, 2, 3, 4})
	w.send(17, []byte{0x30, 0x39, 0, 9, 0, 8, 0, 0})
	buf := make([]byte, 2048)
	for {
		n, err := unix.Read(w.out, buf)
		if err != nil {
			w.Fatalf("the datagram does not arrive: %v", err)
		}
		if n < 38 || binary.BigEndian.Uint16(buf[18:]) != w.stt {
			continue
		}
		if buf[23] == 17 {
			return arrived
		}
		arrived = true
	}
}

func (w *wire) send(protocol byte, payload []byte) {
	w.Helper()
	p := append(append([]byte{}, w.a0...), w.a1.Attrs().HardwareAddr...)
	p = append(p, 0x08, 0x00, 0x45, 0, 0, byte(20+len(payload)))
	p = binary.BigEndian.AppendUint16(p, w.stt)
	p = append(p, 0, 0, 64, protocol, 0, 0, 10, 0, 1, 2, 10, 0, 2, 2)
	var sum uint32
	for i := 14; i < len(p); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(p[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(p[24:], ^uint16(sum))
	must(w, unix.Sendto(w.in, append(p, payload...), 0, &unix.SockaddrLinklayer{Ifindex: w.a1.Attrs().Index}))
}
