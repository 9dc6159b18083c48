package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"sttwall/capture"
	"sttwall/stt"
)

// captureContests: whole commands over captures, from the start of the process to its
// end, with what they print. sttwall replay reassembles frames, parses them, decides,
// and prints a line for each; tshark reassembles them, dissects them, and prints a line
// for each packet.
func captureContests(at *place) ([]*contest, error) {
	module, err := output("go", "list", "-m", "-f", "{{.Dir}}", "sttwall")
	if err != nil {
		return nil, err
	}
	program := filepath.Join(at.dir, "sttwall")
	if _, err := output("go", "build", "-C", module, "-o", program, "./cmd/sttwall"); err != nil {
		return nil, err
	}
	rules := filepath.Join(module, "testdata", "rules", "accept-all.hcl")
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		fmt.Fprintln(at.notes, "tshark is not installed: it is left out")
	}
	var out []*contest
	add := func(job, file string, packets int) {
		c := &contest{job: job, units: packets, contestants: []contestant{
			{variant: ours, whole: true, run: command(program, "replay", "--rules", rules, file)},
		}}
		if tshark != "" {
			c.contestants = append(c.contestants, contestant{variant: "tshark", whole: true, run: command(tshark, append(asSTT(), "-r", file)...)})
		}
		out = append(out, c)
	}

	file := filepath.Join(at.dir, "testdata.pcapng")
	packets, err := joinCaptures(file, filepath.Join(module, "testdata", "pcaps", "*.pcap"))
	if err != nil {
		return nil, err
	}
	add("testdata", file, packets)

	file, packets = filepath.Join(at.dir, "large.pcapng"), 50_000
	if at.quick {
		packets = 5000
	}
	if err := writeLarge(file, packets); err != nil {
		return nil, err
	}
	add(fmt.Sprintf("packets=%d", packets), file, packets)
	return out, nil
}

// asSTT are the options with which tshark knows STT, and asks no name server.
func asSTT() []string {
	return []string{"-n", "-o", "ip.try_heuristic_first:TRUE", "-o", "ipv6.try_heuristic_first:TRUE"}
}

// command runs a program to its end.
func command(program string, args ...string) func(int) error {
	return func(int) error {
		_, err := output(program, args...)
		return err
	}
}

// output runs a program and returns what it prints, without the last line break.
func output(program string, args ...string) (string, error) {
	b, err := exec.Command(program, args...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w\n%s", err, exit.Stderr)
		}
		return "", fmt.Errorf("%s %s: %w", program, strings.Join(args, " "), err)
	}
	return strings.TrimSuffix(string(b), "\n"), nil
}

// writeCapture writes what fill gives it.
func writeCapture(file string, fill func(*capture.Writer) error) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	w, err := capture.NewWriter(f, "sttwall bench")
	if err != nil {
		return err
	}
	if err := fill(w); err != nil {
		return err
	}
	return errors.Join(w.Flush(), f.Close())
}

// joinCaptures writes the packets of all captures that match the pattern into one
// file, and returns how many there are.
func joinCaptures(file, pattern string) (packets int, err error) {
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		return 0, fmt.Errorf("%s: no captures: %w", pattern, err)
	}
	return packets, writeCapture(file, func(w *capture.Writer) error {
		for _, name := range files {
			r, err := capture.Open(name, nil)
			if err != nil {
				return err
			}
			var p capture.Packet
			for err = r.Next(&p); err == nil; err = r.Next(&p) {
				packets++
				// A millisecond behind each other, so that the time does not go back.
				if err := w.Write(&capture.Record{Time: int64(packets) * 1e6, Link: p.Link, Packet: p.Data, Missing: p.WireLen - len(p.Data)}); err != nil {
					return err
				}
			}
			if err = errors.Join(err, r.Close()); !errors.Is(err, io.EOF) {
				return err
			}
		}
		return nil
	})
}

// writeLarge writes packets of 1,000 flows: of each 100, 45 are the segments of one
// frame, 28 have 150 bytes and 27 have 1,500.
func writeLarge(file string, packets int) error {
	path := stt.Path{Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("192.0.2.2"), DstPort: stt.Port, TTL: 64}
	sizes := []int{frameBytes}
	for i := range 55 {
		sizes = append(sizes, []int{150, 1500}[i%2]-path.HeaderLen())
	}
	templates := make(map[int][]byte)
	for _, size := range sizes {
		if templates[size] == nil {
			header := stt.AppendFrameHeader(nil, &stt.FrameHeader{ContextID: 1})
			templates[size] = append(header, udpFrame4.bytes(size-len(header))...)
		}
	}
	return writeCapture(file, func(w *capture.Writer) error {
		written := 0
		for id := uint32(1); ; id++ {
			frame := templates[sizes[int(id)%len(sizes)]]
			flow := int(id) * 7919 % 1000
			path.SrcPort = uint16(49152 + flow)
			setSourcePort(frame, uint16(32768+flow))
			var failed error
			_, err := stt.AppendSegments(nil, &path, id, frame, 1500, stt.ChecksumFull, func(packet []byte) {
				if written++; written <= packets && failed == nil {
					failed = w.Write(&capture.Record{Time: int64(written) * 1e3, Link: capture.LinkRaw, Packet: packet})
				}
			})
			if err = errors.Join(err, failed); err != nil || written >= packets {
				return err
			}
		}
	})
}

// setSourcePort changes the inner UDP source port, and takes the checksum away, which
// IPv4 allows.
func setSourcePort(frame []byte, port uint16) {
	udp := frame[stt.FrameHeaderLen+14+20:]
	udp[0], udp[1] = byte(port>>8), byte(port)
	udp[6], udp[7] = 0, 0
}
