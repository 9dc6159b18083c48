package endpoint

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"sttwall/stt"
)

// The words of the command line for the types of a [Config].

var (
	kindNames         = [...]string{KindAuto: "auto", KindTAP: "tap", KindPacket: "packet"}
	segmentationNames = [...]string{SegmentGSO: "gso", SegmentMTU: "mtu"}
	socketsNames      = [...]string{SocketsPacket: "packet", SocketsIP: "ip"}
)

// String returns "auto", "tap" or "packet".
func (k Kind) String() string { return nameOf(kindNames[:], int(k)) }

// String returns "gso" or "mtu".
func (s Segmentation) String() string { return nameOf(segmentationNames[:], int(s)) }

// String returns "packet" or "ip".
func (s Sockets) String() string { return nameOf(socketsNames[:], int(s)) }

func nameOf(names []string, i int) string {
	if i >= len(names) {
		return "unknown"
	}
	return names[i]
}

// ParseKind reads what [Kind.String] returns.
func ParseKind(s string) (Kind, error) {
	for i, name := range kindNames {
		if s == name {
			return Kind(i), nil
		}
	}
	return 0, fmt.Errorf("kind %q: want %s", s, strings.Join(kindNames[:], ", "))
}

// ParseSegmentation reads what [Segmentation.String] returns.
func ParseSegmentation(s string) (Segmentation, error) {
	for i, name := range segmentationNames {
		if s == name {
			return Segmentation(i), nil
		}
	}
	return 0, fmt.Errorf("segmentation %q: want %s", s, strings.Join(segmentationNames[:], ", "))
}

// ParseSockets reads what [Sockets.String] returns.
func ParseSockets(s string) (Sockets, error) {
	for i, name := range socketsNames {
		if s == name {
			return Sockets(i), nil
		}
	}
	return 0, fmt.Errorf("sockets %q: want %s", s, strings.Join(socketsNames[:], ", "))
}

// ParsePort reads a port as it is written on a command line:
//
//	name=acme0,context=100,kind=packet,peer=acme1,vlan=42,mtu=1450
//
// name and context are needed. context and tci may be hexadecimal (0x64).
// vlan=42 is short for tci=0x102a.
func ParsePort(s string) (Port, error) {
	var p Port
	seen, err := parsePairs(s, func(key, value string) (err error) {
		switch key {
		case "name":
			p.Name = value
		case "context":
			p.ContextID, err = strconv.ParseUint(value, 0, 64)
		case "tci":
			p.TCI, err = parse16(value)
		case "vlan":
			p.TCI, err = parse16(value)
			if err == nil && (p.TCI == 0 || p.TCI > 4094) {
				err = fmt.Errorf("%s is no VLAN id: want 1 to 4094", value)
			}
			p.TCI |= stt.TagPresent
		case "kind":
			p.Kind, err = ParseKind(value)
		case "peer":
			p.Peer = value
		case "mtu":
			p.MTU, err = strconv.Atoi(value)
		default:
			err = fmt.Errorf("unknown key; want name, context, kind, peer, tci, vlan, mtu")
		}
		return err
	})
	switch {
	case err != nil:
		return Port{}, fmt.Errorf("port %q: %w", s, err)
	case !seen["name"] || !seen["context"]:
		return Port{}, fmt.Errorf("port %q: want at least name=INTERFACE,context=ID", s)
	case seen["tci"] && seen["vlan"]:
		return Port{}, fmt.Errorf("port %q: tci and vlan exclude each other", s)
	}
	return p, nil
}

// ParseRemote reads a remote as it is written on a command line: an address
// alone, or with the Context IDs behind it.
//
//	10.0.0.2
//	addr=10.0.0.2,context=100,context=200
func ParseRemote(s string) (Remote, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		return Remote{Addr: addr}, nil
	}
	var r Remote
	_, err := parsePairs(s, func(key, value string) (err error) {
		switch key {
		case "addr":
			r.Addr, err = netip.ParseAddr(value)
		case "context":
			var id uint64
			id, err = strconv.ParseUint(value, 0, 64)
			r.Contexts = append(r.Contexts, id)
		default:
			err = fmt.Errorf("unknown key; want addr, context")
		}
		return err
	})
	if err == nil && !r.Addr.IsValid() {
		err = fmt.Errorf("want an address, or addr=ADDRESS,context=ID")
	}
	if err != nil {
		return Remote{}, fmt.Errorf("remote %q: %w", s, err)
	}
	return r, nil
}

func parse16(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 0, 16)
	return uint16(n), err
}

// parsePairs calls set for each key=value of s. Only context may come more
// than once.
func parsePairs(s string, set func(key, value string) error) (seen map[string]bool, err error) {
	seen = map[string]bool{}
	for pair := range strings.SplitSeq(s, ",") {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || value == "" {
			return nil, fmt.Errorf("%q: want key=value", pair)
		}
		if seen[key] && key != "context" {
			return nil, fmt.Errorf("%s: given twice", key)
		}
		seen[key] = true
		if err := set(key, value); err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
	}
	return seen, nil
}
