package control

import (
	"net/http"
	"net/netip"

	"sttwall/inspect"
	"sttwall/reason"
	"sttwall/remedy"
	"sttwall/stt"
)

// remedy finds what would let a frame pass.
func (s *Server) remedy(w http.ResponseWriter, r *http.Request) error {
	if err := onlyQuery(r); err != nil {
		return err
	}
	var ask RemedyRequest
	if err := decode(r.Body, &ask); err != nil {
		return err
	}
	in := remedy.Request{ContextID: uint64(ask.Context), Data: ask.Data, Length: ask.InnerBytes, Now: s.config.Firewall.Now()}
	header, err := readHeader(ask.Header)
	if err != nil {
		return err
	}
	in.TCI = header.TCI
	if in.ContextID == 0 {
		in.ContextID = header.ContextID
	}
	if in.Reason, err = readReason(ask.Reason); err != nil {
		return err
	}
	if in.From, err = endpointOf("from", ask.From); err != nil {
		return err
	}
	if in.To, err = endpointOf("to", ask.To); err != nil {
		return err
	}
	return s.question(w, r, func() any {
		found := remedy.Find(s.config.Firewall.Shared().Policy(), in)
		return Remedy{Text: found.Text, Place: found.Place, Why: found.Why, Tried: found.Tried}
	})
}

// readHeader reads an STT frame header, if there is one.
func readHeader(data []byte) (h stt.FrameHeader, err error) {
	if len(data) == 0 {
		return h, nil
	}
	if len(data) != stt.FrameHeaderLen || !h.Decode(data) {
		return h, refuse(http.StatusBadRequest, "header: want the %d bytes of an STT frame header, in base64; these are %d", stt.FrameHeaderLen, len(data))
	}
	return h, nil
}

// readReason reads the name of a reason; "" is none.
func readReason(name string) (reason.Reason, error) {
	for r := reason.None; r < reason.Count; r++ {
		if name == r.String() || name == "" {
			return r, nil
		}
	}
	return reason.None, refuse(http.StatusBadRequest, "reason: there is no %.40q: see docs/reasons.md", name)
}

// endpointOf reads the address of an endpoint; "" is none.
func endpointOf(name, text string) (a netip.Addr, err error) {
	if text == "" {
		return a, nil
	}
	if a, err = netip.ParseAddr(text); err != nil || a.Zone() != "" || a.Is4In6() {
		return a, refuse(http.StatusBadRequest, "%s: %.60q is not the outer address of an endpoint", name, text)
	}
	return a, nil
}

// readFrame reads the inner frame that an explanation is asked about. Where it is no
// frame that is read, or its header lies about it, why says so.
func (ask *ExplainRequest) readFrame(into *inspect.Frame, mssFloor uint16) (data []byte, why reason.Reason, err error) {
	h, err := readHeader(ask.Header)
	if err != nil {
		return nil, why, err
	}
	if len(ask.Header) > 0 {
		if ask.TCI != 0 && ask.TCI != h.TCI {
			return nil, why, refuse(http.StatusBadRequest, "tci: it is 0x%04x, and that of the header 0x%04x", ask.TCI, h.TCI)
		}
		ask.TCI = h.TCI
	}
	length := max(len(ask.Frame), ask.InnerBytes)
	if length > MaxSnap {
		return nil, why, refuse(http.StatusBadRequest, "inner_bytes: want at most %d", MaxSnap)
	}
	switch {
	case h.Version != 0:
		return nil, reason.FrameVersion, nil
	case h.ChecksumPartial() && h.ChecksumVerified():
		return nil, reason.FrameFlags, nil
	}
	if why = into.Decode(ask.Frame, length, ask.TCI, inspect.Tagged(ask.TCI&^stt.TagPresent != 0)); why != reason.None {
		return nil, why, nil
	}
	if len(ask.Header) > 0 {
		why = into.Verify(ask.Frame, length, inspect.Offload{
			Partial: h.ChecksumPartial(), IPv4: h.Flags&stt.FlagIPv4 != 0, TCP: h.Flags&stt.FlagTCP != 0,
			L4Offset: h.L4Offset, MSS: h.MSS, MSSFloor: mssFloor,
		})
	}
	return remedy.Whole(ask.Frame, length), why, nil
}
