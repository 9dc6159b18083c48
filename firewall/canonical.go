package firewall

import (
	"sttwall/inspect"
	"sttwall/policy"
	"sttwall/reassembly"
	"sttwall/stt"
)

// knownFlags are the frame header flags that the draft defines (section 3.1).
const knownFlags = stt.FlagChecksumVerified | stt.FlagChecksumPartial | stt.FlagIPv4 | stt.FlagTCP

// canonicalHeader returns the frame header with which a frame leaves that
// came with h. Everything in h that could be a lie has been refused before
// (inspect.Frame.Verify); what is left is made to mean nothing where it has
// no meaning, so that no receiver can find one.
func canonicalHeader(h *stt.FrameHeader, inner *inspect.Frame, receivers policy.Receivers) stt.FrameHeader {
	c := *h
	c.Reserved, c.Padding = 0, 0
	c.Flags &= knownFlags
	if !c.ChecksumPartial() {
		// Receivers read these only with the flag.
		c.Flags &^= stt.FlagIPv4 | stt.FlagTCP
		c.L4Offset, c.MSS = 0, 0
	} else if c.Flags&stt.FlagTCP == 0 || int(c.MSS) >= inner.TCPPayload() {
		c.MSS = 0
	}
	switch {
	case !c.Tagged():
		// Linux would make a tag of zeros out of V alone.
		c.TCI = 0
	case receivers == policy.ReceiversAny:
		// Windows takes a TCI without V for no tag, Linux for one.
		c.TCI |= stt.TagPresent
	}
	return c
}

// canonicalTOS returns the outer TOS byte with which a packet leaves. Windows
// copies the outer DSCP onto the inner packet, so for its sake it is the inner
// one (or 0, where it means nothing). With ce, any packet of a frame that is
// encoded anew carried congestion experienced, and all of them do then.
func canonicalTOS(tos uint8, inner *inspect.Frame, receivers policy.Receivers, ce bool) uint8 {
	if receivers == policy.ReceiversAny && tos>>2 != 0 {
		if inner.IP == 0 {
			tos &= 3
		} else {
			tos = inner.TOS&^3 | tos&3
		}
	}
	if ce {
		tos |= 3
	}
	return tos
}

// canonicalPackets reports whether every packet of the frame may leave with
// the outer header that it came with.
func (f *Firewall) canonicalPackets(packets []reassembly.Packet) bool {
	for i := range packets {
		if packets[i].Unfinished {
			// Whoever made it on this host said where the checksum is to be
			// written, and the device that sends it on will write there:
			// perhaps into a field that the decision rested on. A
			// super-segment is safe: the kernel refuses one whose checksum is
			// not that of its TCP header.
			return false
		}
		p := &packets[i]
		if !p.Canonical {
			return false
		}
		if i > 0 && p.TOS == packets[i-1].TOS {
			continue
		}
		if canonicalTOS(p.TOS, &f.event.Inner, f.standing.settings.Receivers, false) != p.TOS {
			return false
		}
	}
	return true
}
