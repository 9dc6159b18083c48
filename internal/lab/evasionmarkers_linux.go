package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"

	"sttwall/stt"
)

// The addresses of markers: listed endpoints that no script speaks for.
var (
	markerFrom = netip.MustParseAddr("192.0.2.77")
	markerTo   = netip.MustParseAddr("192.0.2.78")
)

// markerBytes is what all markers carry, with their number behind it.
const markerBytes = "sttwall marker "

// findPorts finds a source port for each queue. Which one takes which is another with
// each table.
func (r *rig) findPorts() error {
	r.queues = map[uint16]int{}
	r.ports = make([]uint16, r.Queues)
	for port, found := uint16(usualPort), 0; found < r.Queues; port++ {
		if port == usualPort+100 {
			return errors.New("lab: evasion: source ports do not reach all queues")
		}
		i, err := r.queueOf(port)
		if err != nil {
			return err
		}
		if r.ports[i] == 0 {
			r.ports[i] = port
			found++
		}
	}
	return nil
}

// usualPort is the source port of most packets of scripts.
const usualPort = 40000

// other returns a source port of another queue than that of most packets; 0 if there is
// one queue.
func (r *rig) other() uint16 {
	if r.Queues == 1 {
		return 0
	}
	return r.ports[1-r.queues[usualPort]]
}

// queueOf returns the queue of a source port: a marker tells.
func (r *rig) queueOf(port uint16) (int, error) {
	if i, known := r.queues[port]; known {
		return i, nil
	}
	before := make([]uint64, r.Queues)
	for i, c := range r.cores {
		before[i] = c.marked.Load()
	}
	if err := r.mark(stt.Port, port); err != nil {
		return 0, err
	}
	for i, c := range r.cores {
		if c.marked.Load() != before[i] {
			r.queues[port] = i
			return i, nil
		}
	}
	return 0, fmt.Errorf("lab: evasion: source port %d reaches no queue", port)
}

// mark sends a marker to a port and waits until it is at the far side.
func (r *rig) mark(port, source uint16) error {
	marker, err := r.sendMarker(port, source)
	if err != nil {
		return err
	}
	return r.waitMarker(marker)
}

func (r *rig) sendMarker(port, source uint16) (marker []byte, err error) {
	r.markers++
	marker = fmt.Appendf(nil, "%s%08x.", markerBytes, r.markers)
	path := stt.Path{Src: markerFrom, Dst: markerTo, SrcPort: source, DstPort: port, TTL: 64}
	packet := stt.AppendSegment(nil, &path, &stt.Piece{FrameID: uint32(r.markers), FrameLength: len(marker), Payload: marker})
	return marker, r.lab.Inject(EndpointA, packet, Offload{})
}

func (r *rig) waitMarker(marker []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), waitBound)
	defer cancel()
	if _, err := r.far.WaitFor(ctx, "a marker", marker); err != nil {
		return errors.Join(err, r.lab.Failure())
	}
	return nil
}

// settle waits until all that was sent has been decided, as far as it can be at this
// time, and what of it left has arrived: a marker follows it through each queue, and one
// around them.
func (r *rig) settle() error {
	var markers [][]byte
	for _, to := range append([]uint16{0}, r.ports...) {
		port := uint16(stt.Port)
		if to == 0 {
			port = stt.Port + 1
		}
		marker, err := r.sendMarker(port, to)
		if err != nil {
			return err
		}
		markers = append(markers, marker)
	}
	for _, m := range markers {
		if err := r.waitMarker(m); err != nil {
			return err
		}
	}
	return nil
}

func isMarker(packet []byte) bool {
	return len(packet) >= 20 && packet[0]>>4 == 4 && bytes.Equal(packet[12:16], markerFrom.AsSlice())
}
