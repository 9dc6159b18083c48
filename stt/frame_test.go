package stt

import (
	"bytes"
	"fmt"
	"testing"

	"sttwall/reason"
)

func TestFrameHeaderBytesAreThoseOfTheDraft(t *testing.T) {
	h := FrameHeader{
		Version: 0, Flags: FlagChecksumPartial | FlagIPv4 | FlagTCP, L4Offset: 34,
		MSS: 1448, TCI: 0xb02b, ContextID: 0x0102030405060708,
	}
	got := AppendFrameHeader(nil, &h)
	want := []byte{0, 0x0e, 34, 0, 0x05, 0xa8, 0xb0, 0x2b, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0}
	if !bytes.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
	var back FrameHeader
	if !back.Decode(got) || back != h {
		t.Errorf("decoded %+v, want %+v", back, h)
	}
}

func TestAShortFrameHeaderIsRefusedAndReset(t *testing.T) {
	h := FrameHeader{ContextID: 1}
	if h.Decode(make([]byte, FrameHeaderLen-1)) || h != (FrameHeader{}) {
		t.Errorf("got %+v", h)
	}
}

func TestAppendSegmentsCutsEveryFrameForEveryMTU(t *testing.T) {
	frame := make([]byte, 5000)
	for i := range frame {
		frame[i] = byte(i * 7)
	}
	for _, p := range []Path{path4, path6} {
		for _, mtu := range []int{0, p.HeaderLen() + 1, 576, 1500, 9000} {
			t.Run(fmt.Sprintf("%v/mtu=%d", p.Src, mtu), func(t *testing.T) {
				var got []byte
				var packets int
				_, err := AppendSegments(nil, &p, 9, frame, mtu, ChecksumFull, func(b []byte) {
					var s Segment
					if r := s.Decode(b, len(b), ports); r != reason.None {
						t.Fatalf("packet %d: %v", packets, r)
					}
					if mtu != 0 && len(b) > mtu {
						t.Fatalf("packet %d of %d bytes", packets, len(b))
					}
					last := len(got)+len(s.Payload) == len(frame)
					if int(s.Offset) != len(got) || s.FrameID != 9 || (s.Flags&FlagPSH != 0) != last || !s.ChecksumGood(b) {
						t.Fatalf("packet %d: %+v", packets, s)
					}
					if p.Src.Is4() && s.ID != p.ID+uint16(packets) {
						t.Fatalf("packet %d: ID %#x", packets, s.ID)
					}
					got = append(got, s.Payload...)
					packets++
				})
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, frame) {
					t.Error("the payloads are not the frame")
				}
				if mtu == 0 && packets != 1 {
					t.Errorf("got %d packets, want 1", packets)
				}
			})
		}
	}
}

func TestAppendSegmentsRefusesWhatCannotBe(t *testing.T) {
	none := func([]byte) { t.Error("a packet came out") }
	if _, err := AppendSegments(nil, &path4, 1, make([]byte, 100), 40, ChecksumFull, none); err == nil {
		t.Error("an MTU without room for payload was taken")
	}
	if _, err := AppendSegments(nil, &path4, 1, make([]byte, MaxFrameLen+1), 1500, ChecksumFull, none); err == nil {
		t.Error("a frame above 65,535 bytes was taken")
	}
}

func TestTheLargestFrameTakesTwoIPv4Packets(t *testing.T) {
	packets := 0
	_, err := AppendSegments(nil, &path4, 1, make([]byte, MaxFrameLen), 0, ChecksumPartial, func(b []byte) {
		packets++
		if len(b) > 65535 {
			t.Errorf("packet of %d bytes", len(b))
		}
	})
	if err != nil || packets != 2 {
		t.Errorf("got %d packets, %v", packets, err)
	}
}

func TestAPieceCanCarryAnotherHeader(t *testing.T) {
	h := FrameHeader{ContextID: 7}
	frame := bytes.Repeat([]byte{0xff}, 60)
	b := AppendSegment(nil, &path4, &Piece{FrameLength: len(frame), Payload: frame, Header: &h})
	want := append(AppendFrameHeader(nil, &h), frame[FrameHeaderLen:]...)
	if got := b[40:]; !bytes.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
}

// FuzzFrameHeader holds that decoding and encoding are each other's inverse.
func FuzzFrameHeader(f *testing.F) {
	f.Add([]byte{0, 0x0e, 34, 0, 0x05, 0xa8, 0xb0, 0x2b, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		var h FrameHeader
		if !h.Decode(b) {
			if len(b) >= FrameHeaderLen {
				t.Fatalf("%d bytes refused", len(b))
			}
			return
		}
		if got := AppendFrameHeader(nil, &h); !bytes.Equal(got, b[:FrameHeaderLen]) {
			t.Fatalf("got %x, want %x", got, b[:FrameHeaderLen])
		}
	})
}
