package endpoint

import (
	"errors"
	"fmt"
	"net/netip"
)

// Service takes the frames of one Context ID in this process, where a [Port]
// hands them to an interface.
type Service struct {
	// ContextID is that of no port and of no other service.
	ContextID uint64
	// Handle gets each whole frame of the Context ID that a remote has sent. It
	// is called from one goroutine, which receives for all tenants: it must not
	// wait. It may send.
	Handle func(out Outlet, a *Arrival)
	// Torn: Handle gets packets too whose payload begins with a frame header of the
	// Context ID, while their segment headers do not say that it is a whole frame; see
	// [Arrival.Torn]. Reassembly gets them all the same.
	Torn bool
}

// Arrival is a whole frame as it came. It is valid until Handle returns.
type Arrival struct {
	// From is the remote.
	From netip.Addr
	// FrameID is that of the frame.
	FrameID uint32
	// Data is the frame from its frame header on, as it was sent: a CE mark of
	// the outside was not carried over.
	Data []byte
	// Torn: Data is the payload of one packet, which is no whole frame by what its segment
	// header says: it is the first segment of a longer frame, or somebody has changed the
	// sequence number.
	Torn bool
	// Carriers are the packets that carried it, in the order of their offsets.
	Carriers []Carrier
	// Refused are the packets of the remote that were refused since the start.
	Refused Refused
}

// Refused counts packets of one remote that no frame was made of.
type Refused struct {
	// Checksum: the TCP checksum was wrong.
	Checksum uint32
	// Other: no segment, for another reason, such as IP options or a fragment.
	Other uint32
}

// Carrier is what the headers of one packet of a frame said. Where the host
// merges packets (GRO), it is one of those that came out of that.
type Carrier struct {
	// Offset and Length say which bytes of the frame it carried, FrameLength how long the
	// frame is by its sequence number.
	Offset, Length int
	FrameLength    uint16
	// GSOSize is the payload of each packet that was merged into it in bytes,
	// 0 if it came as it is.
	GSOSize uint16
	// TTL, TOS and DontFragment are those of the outer IP header.
	TTL, TOS     uint8
	DontFragment bool
	// SrcPort, DataOffset (in words of 4 bytes), Reserved, Flags, Window and
	// Urgent are those of the segment header.
	SrcPort              uint16
	DataOffset, Reserved uint8
	Flags                uint8
	Window, Urgent       uint16
}

// Outlet sends frames that come from no port. An [Endpoint] is one. Any goroutine may use it
// while the endpoint runs.
type Outlet interface {
	// Send sends a frame, cut as Config.Segmentation says. The error says why not all of it
	// has left.
	Send(*Shipment) error
	// NextFrameID takes the next frame ID.
	NextFrameID() uint32
	// PathMTU returns the MTU of the path to a remote in bytes, as the endpoint uses it; an
	// error if there is no way to it.
	PathMTU(to netip.Addr) (int, error)
}

// Shipment is a frame that a program sends itself.
type Shipment struct {
	// To is a remote.
	To netip.Addr
	// Frame is the frame with its frame header. It is borrowed until Send returns.
	Frame []byte
	// FrameID is one of [Endpoint.NextFrameID].
	FrameID uint32
	// SrcPort is the outer source port.
	SrcPort uint16
	// TTL is that of the outer packets, 0 means that of the Config. TOS is
	// the whole byte.
	TTL, TOS uint8
	// MTU is the length of the largest outer packet in bytes; 0 means that of
	// the path.
	MTU int
}

func (c *Config) validateServices() error {
	var errs []error
	if len(c.Services) > MaxPorts {
		errs = append(errs, fmt.Errorf("%d services: want at most %d", len(c.Services), MaxPorts))
	}
	taken := map[uint64]string{}
	for i := range c.Ports {
		taken[c.Ports[i].ContextID] = fmt.Sprintf("port %q", c.Ports[i].Name)
	}
	for _, s := range c.Services {
		if other, ok := taken[s.ContextID]; ok {
			errs = append(errs, fmt.Errorf("service of Context ID %d: %s has it already", s.ContextID, other))
		}
		if s.Handle == nil {
			errs = append(errs, fmt.Errorf("service of Context ID %d: nothing handles its frames", s.ContextID))
		}
		taken[s.ContextID] = "another service"
	}
	return errors.Join(errs...)
}

// validGuard reports whether nftables and its users take s for the name of a table.
func validGuard(s string) bool {
	for i, c := range []byte(s) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c != '_' && (c < '0' || c > '9')) {
			return false
		}
	}
	return s != "" && len(s) <= 31
}
