package firewall

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"sttwall/describe"
	"sttwall/policy"
	"sttwall/reassembly"
	"sttwall/stt"
)

// damagedPackets makes the packets of one frame, with bytes, lengths and claims
// changed at random.
func damagedPackets(t *testing.T, r *rand.Rand) (packets []Packet) {
	t.Helper()
	var inner []byte
	if r.IntN(2) == 0 {
		d := datagram{
			dst: 2, port: []uint16{53, 113, 80, 9}[r.IntN(4)], id: uint32(r.IntN(8)), ip6: r.IntN(3) == 0,
			size: 100, mtu: 40, back: r.IntN(2) == 0,
		}
		frames := d.fragments(t)
		inner = frames[r.IntN(len(frames))]
	} else {
		text, _ := randomDescription(r)
		d, err := describe.Parse(text)
		if err != nil {
			t.Fatal(text, err)
		}
		inner = bytes.Clone(d.Data)
	}
	for range r.IntN(4) {
		inner[r.IntN(min(len(inner), 80))] = byte(r.Uint32())
	}
	if r.IntN(6) == 0 {
		inner = inner[:r.IntN(len(inner)+1)]
	}
	h := stt.FrameHeader{ContextID: []uint64{100, 200, 300, 400, 1<<40 | 2<<24 | 7, 3<<40 | 100, 1 << 63}[r.IntN(7)]}
	switch r.IntN(4) {
	case 0:
		h.Flags, h.L4Offset, h.MSS = uint8(r.Uint32()), uint8(r.IntN(80)), uint16(r.IntN(2000))
	case 1:
		h.Flags = stt.FlagChecksumVerified
	case 2:
		h.TCI = uint16(r.Uint32())
	}
	for i, data := range cut(path(), r.Uint32(), sttFrame(h, inner), []int{0, 0, 0, 60}[r.IntN(4)]) {
		p := Packet{ID: uint64(i + 1), Data: data, Length: len(data), Checksum: ChecksumState(r.IntN(3)), GSO: r.IntN(5) == 0}
		if r.IntN(6) == 0 {
			p.Data = data[:r.IntN(len(data)+1)]
		}
		packets = append(packets, p)
	}
	return packets
}

const smallHead = "settings {\n  endpoints = [\"192.0.2.0/24\"]\n}\n"

// smallPolicies are as many ways to decide.
var smallPolicies = map[string]string{
	"nothing":            smallHead,
	"a default":          "settings {\n  default_action = \"accept\"\n}\n",
	"a tenant":           smallHead + tenantAll,
	"rules for all":      smallHead + "before_tenants {\n  rule \"udp\" {\n    action   = \"accept\"\n    services = [\"udp\"]\n  }\n}\n",
	"audit":              smallHead + "tenant \"a\" {\n  context_ids = [100]\n  mode        = \"audit\"\n}\n",
	"bindings":           smallHead + "tenant \"a\" {\n  context_ids    = [100]\n  default_action = \"reject\"\n  anti_spoof {\n    learn = [\"address\", \"mac\"]\n  }\n}\n",
	"the OVN layout":     smallHead + "tenant \"a\" {\n  context_layout = \"ovn\"\n  datapaths      = [7, 100]\n  anti_spoof {\n    learn = [\"ingress_port\"]\n  }\n}\n",
	"rules for each":     fragmentRules,
	"bindings and rules": spoofRules,
	"many things":        togetherRules(0),
}

// Whatever comes, and however little the rules file has: nothing ends the firewall,
// and every packet gets its verdict.
func TestDamagedPacketsUnderSmallPolicies(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for name, rules := range smallPolicies {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, benchConfig{rules: rules, bits: 16, hold: HoldConfig{Packets: 16}, reassembly: reassembly.Config{Memory: 1 << 20}})
			packets, verdicts := 0, 0
			for range 3000 {
				b.now += r.Int64N(1e6)
				if r.IntN(300) == 0 {
					b.now += r.Int64N(1e9)
				}
				if r.IntN(200) == 0 {
					list := []policy.Temporary{{
						Name: "t", Action: policy.Action(r.IntN(2)), Expires: b.now/1e9 + r.Int64N(3),
						Pattern: []string{"any > any", "udp any > any frag later", "ethertype 0x88cc"}[r.IntN(3)],
					}}
					b.withTemporary(list[:r.IntN(2)]...)
				}
				b.out.Reset()
				for _, p := range damagedPackets(t, r) {
					expectedKey(b.shared.current.Load(), &p)
					b.fw.Process(b.now, &p, &b.out)
					packets++
				}
				if r.IntN(100) == 0 {
					b.fw.Expire(b.now, &b.out)
				}
				verdicts += len(b.out.List)
				b.events = nil
			}
			b.out.Reset()
			b.fw.Flush(&b.out)
			if verdicts += len(b.out.List); verdicts != packets {
				t.Errorf("%d packets, %d verdicts", packets, verdicts)
			}
			if c := b.fw.Counters(); c.PacketsAccepted.Load()+c.PacketsDropped.Load() != uint64(packets) || c.FramesDropped.Load() == 0 {
				t.Errorf("%d packets, %d passed, %d dropped, %d frames dropped", packets, c.PacketsAccepted.Load(), c.PacketsDropped.Load(), c.FramesDropped.Load())
			}
		})
	}
}
