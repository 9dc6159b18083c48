package space

// Field is one of the things about a packet that a rule can ask about.
type Field uint8

// The fields. All are numbers; the comment says which.
const (
	Context      Field = iota // context ID, 64 bits
	Family                    // 4, 6, or 0 if the frame is not IP
	Src                       // source address: 128 bits, IPv4 in the low 32; ARP's sender; else 0
	Dst                       // destination address likewise; ARP's target
	Kind                      // IP protocol, or without IP 0x10000 | ethertype
	SrcPort                   // 0 to 65535, or [NoPort]
	DstPort                   // likewise; ICMP: type<<8 | code
	EthSrc                    // 48 bits, the first byte on the wire is the highest
	EthDst                    // likewise
	VLAN                      // VLAN ID of the outermost tag, or [NoVLAN]
	PCP                       // its priority, or [NoPriority]
	ARPOperation              // 0 to 65535, or [NoARP]
	TCPFlags                  // 9 bits, FIN lowest, as in inspect.Frame; or [NoFlags]
	Fragment                  // [Whole], [FirstFragment] or [LaterFragment]
	From                      // outer source, 128 bits, IPv4 as ::ffff:a.b.c.d
	To                        // outer destination likewise

	// The three parts of a context ID in the OVN layout, which are no ranges of
	// it. Where they are constrained, Context is left alone.
	Datapath // 24 bits, or [NoDatapath]
	Ingress  // logical ingress port, 15 bits, or [NoIngress]
	Egress   // logical egress port, 16 bits, or [NoEgress]

	Fields // the number of fields
)

// Values beside the numbers themselves.
const (
	NoPort     = 1 << 16
	NoVLAN     = 0 // untagged, or a priority tag: it has VLAN ID 0
	NoPriority = 1 << 3
	NoARP      = 1 << 16
	NoFlags    = 1 << 9
	NoDatapath = 1 << 24
	NoIngress  = 1 << 15
	NoEgress   = 1 << 16

	// NotIP in [Kind] marks an ethertype.
	NotIP = 1 << 16
)

// The values of [Fragment].
const (
	Whole = iota
	FirstFragment
	LaterFragment
)

// NotLater is what rules are about that do not name later fragments. Texts leave
// it out.
var NotLater = Fragment.Values(Whole, FirstFragment)

var fields = [Fields]struct {
	name string
	max  Value
}{
	Context:      {"context ID", Value{0, ^uint64(0)}},
	Family:       {"IP version", Value{0, 6}},
	Src:          {"source", Value{^uint64(0), ^uint64(0)}},
	Dst:          {"destination", Value{^uint64(0), ^uint64(0)}},
	Kind:         {"protocol", Value{0, NotIP | 0xffff}},
	SrcPort:      {"source port", Value{0, NoPort}},
	DstPort:      {"port", Value{0, NoPort}},
	EthSrc:       {"source MAC", Value{0, 1<<48 - 1}},
	EthDst:       {"destination MAC", Value{0, 1<<48 - 1}},
	VLAN:         {"VLAN", Value{0, 1<<12 - 1}},
	PCP:          {"PCP", Value{0, NoPriority}},
	ARPOperation: {"ARP operation", Value{0, NoARP}},
	TCPFlags:     {"TCP flags", Value{0, NoFlags}},
	Fragment:     {"fragment", Value{0, LaterFragment}},
	From:         {"from endpoint", Value{^uint64(0), ^uint64(0)}},
	To:           {"to endpoint", Value{^uint64(0), ^uint64(0)}},
	Datapath:     {"datapath", Value{0, NoDatapath}},
	Ingress:      {"ingress port", Value{0, NoIngress}},
	Egress:       {"egress port", Value{0, NoEgress}},
}

// String returns the field's name in the words of an operator.
func (f Field) String() string {
	if f >= Fields {
		return "unknown"
	}
	return fields[f].name
}

// Max returns the largest value of the field; 0 is the smallest.
func (f Field) Max() Value { return fields[f].max }
