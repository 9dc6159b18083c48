// Package probe measures the path between two STT endpoints with frames of its
// own: what is lost, reordered and doubled, how large a packet may be, and who
// rewrote what on the way.
//
//	Prober -> question -> endpoint ==== path ====> endpoint -> Answerer
//	Report <- compare  <- endpoint <=== path ===== endpoint <- answer
//
// The answering side says in each answer what it has seen of the question, so
// that the two directions are told apart.
//
// # The protocol, version 1
//
// Question and answer are UDP datagrams over IPv4 in an inner Ethernet frame, so
// that rules can name them: udp/7471 under the Context ID of the probe. A
// question goes from 198.18.0.1 (RFC 2544), 02:53:54:54:00:01, and from the port
// that is the outer source port too, to 198.18.0.2, 02:53:54:54:00:02, port 7471;
// an answer goes back. The inner TOS byte is that of the outer header, the UDP
// checksum is right, and behind the message come bytes that follow from session and
// sequence: the receiver knows what each byte of the inner frame was.
//
// The payload, in network byte order:
//
//	 0  4  "STTP"
//	 4  1  version, 1
//	 5  1  kind: 1 question, 2 answer
//	 6  1  flags: 1 the answer is to be as long as the question
//	 7  1  0
//	 8  8  session: random, another one for each series of questions
//	16  4  sequence: of the question in its session, from 0 up
//	20  4  frame ID, as it was sent
//	24  2  length of the STT frame, frame header included
//	26  2  outer source port
//	28  2  length of the largest outer packet that the frame was cut into
//	30  1  outer TTL
//	31  1  outer TOS
//	32  2  TCI of the frame header
//	34  2  0
//	36  4  CRC-32C of the message with 0 here
//
// An answer has this of itself, session and sequence of its question, and, of the
// question:
//
//	40  4  how many questions of the session have come, this one included
//	44  4  how many of them came more than once
//	48  4  how many of them were not answered, because they were too many a second
//	52  4  packets of this source with a wrong TCP checksum, since the session began
//	56  4  packets of this source refused for other reasons, since then
//	60 18  the frame header
//	78  1  what of the inner frame was changed: 1 Ethernet, 2 IPv4, 4 UDP, 8 what follows
//	79  1  n, how many packets follow
//	80  2  how many packets carried it
//	82  2  0
//	84  4  frame ID
//	88 20n for each packet: offset (2), length (2), GSO size (2), TTL, TOS, source port (2),
//	       window (2), urgent pointer (2), flags, data offset and reserved bits, 1 if DF,
//	       length of the frame by the sequence number (2), 0
//
// # What the answering side is no good for
//
// It answers listed remotes alone, to the address that the question came from; an
// answer is never longer than its question, is never itself answered, and there are
// at most so many a second for each remote and in all. It keeps one session for each
// remote. Who can send in the name of a remote can have it sent that many answers.
//
// [Answerer] and [Prober] are safe for concurrent use.
package probe
