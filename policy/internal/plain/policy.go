package plain

import "net/netip"

// Policy is a rules file as data. What is nil or empty is left out of the file.
type Policy struct {
	DefaultAction string
	Groups        []*Group
	Services      []*NamedService
	Tenants       []*Tenant
	Before, After []*Rule
}

// Tenant is a tenant block.
type Tenant struct {
	Name            string
	Claims          []Claim
	OVN             bool
	Datapaths       []Number
	Endpoints       []Range
	DefaultAction   string
	Audit           bool
	NeighborsByRule bool
	Bindings        []*Binding // of anti_spoof
	Rules           []*Rule
}

// Claim is an entry of context_ids.
type Claim struct{ Lo, Hi uint64 }

// Rule is a rule block. Owner is what stands before the "/" of its name.
type Rule struct {
	Owner, Name, Action         string
	Source, Destination         []Address
	Services                    []Service
	SourceMAC, DestinationMAC   []MAC
	VLAN, PCP                   []Number
	EtherType, ARPOperation     []Number
	TCPFlags                    []Flag
	Fragment                    []string
	FromEndpoint, ToEndpoint    []Range
	Datapath, IngressPort, Port []Number // Port: egress_port
	Times                       []Window
	Stateless, Log              bool
	Mode                        string
	Limit                       *Limit
	Set                         Set
}

// FullName is how the rule is called in a decision.
func (r *Rule) FullName() string { return r.Owner + "/" + r.Name }

// Range is addresses of one family, both ends included.
type Range struct{ Lo, Hi netip.Addr }

// Address is an entry of a list of addresses.
type Address struct {
	Not, Any bool
	Group    *Group
	Range
}

// Group is an address_group. Lines is what the file of addresses_from holds; nil:
// there is none.
type Group struct {
	Name    string
	Entries []Address
	Lines   []Range
}

// Number is an entry of a list of numbers. None is the word "none", for a frame
// that has no such number.
type Number struct {
	Not, None bool
	Lo, Hi    uint64
}

// MAC is an entry of a list of MAC addresses: a word, or an address of which the
// first Bits bits count.
type MAC struct {
	Not     bool
	Word    string
	Address [6]byte
	Bits    int
}

// Flag is an entry of tcp_flags; Bit as it is numbered in a TCP header.
type Flag struct {
	Not bool
	Bit int
}

// Service is an entry of a list of services: the word before the "/", and what
// stands behind it.
type Service struct {
	Word       string
	Ports      *PortRange    // behind tcp, udp, sctp
	Type, Code int           // behind icmp, icmpv6; negative: nothing
	Number     uint16        // behind protocol, ethertype
	Named      *NamedService // the word is "service"
}

// PortRange has both ends included.
type PortRange struct{ Lo, Hi uint16 }

// NamedService is a service block. Protocol is negative for "any".
type NamedService struct {
	Name               string
	Services           []Service // instead of all that follows
	Protocol           int
	Ports, SourcePorts []PortRange
	Type, Code         int // negative: left out
	Flags              []Flag
}

// Window is a time block. From and To are minutes of the day, negative where
// they are left out; Days holds days and ranges of days, 0 being Sunday.
type Window struct {
	Days                []Number
	From, To            int
	Zone                string
	NotBefore, NotAfter string
}

// Limit is a limit block: Events in Per ns. Burst 0: left out.
type Limit struct {
	Events, Per, Burst int64
	Drop               bool
}

// Set is a set block; the zero value is none.
type Set struct {
	HasDSCP bool
	DSCP    uint8
	MSSMax  uint16
}

// Packet is what is known of a frame: its tunnel, the clocks, and what the inner
// frame shows. Fields of a protocol that the frame does not show are zero.
type Packet struct {
	Context  uint64
	From, To netip.Addr
	Wall     int64 // seconds since 1970
	Now      int64 // ns, never going back

	// BeginsNothing: who asks knows that no flow begins with it.
	BeginsNothing bool

	EthSrc, EthDst   [6]byte
	TagCount         int
	VLAN, PCP        [2]uint16 // outermost first
	EtherType        uint16    // the innermost
	ARPOperation     uint16
	ARPSender        [6]byte    // its MAC
	Src, Dst         netip.Addr // of IP and ARP
	IP               int        // 4, 6, or 0 for anything else
	Protocol         uint8
	Fragment         string // "whole", "first", "later"; of IP
	HasPorts         bool
	SrcPort, DstPort uint16
	HasTCP           bool
	Flags            uint16
	HasICMP          bool
	Type, Code       uint8
	Target           netip.Addr // of a neighbour advertisement; not valid: it names none
}

// Decision is what becomes of a packet that is the first of its flow.
type Decision struct {
	Action, Reason, Tenant, Rule string
	Log, Stateless, Neighbor     bool
	Audit                        bool // it would be WouldBe, for the reason Would
	WouldBe, Would               string
	Set                          Set
}
