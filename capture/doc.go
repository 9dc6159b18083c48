// Package capture reads packets out of pcap and pcapng files and writes them
// into pcapng files, with a comment on each packet if there is one to make.
//
//	file or stdin -> gunzip -> pcap | pcapng -> link header -> Packet -> caller
//	caller -> Record -> pcapng (one interface for each link type) -> file, or Ring of files
//
// [Open] and [NewReader] find out by the first bytes what a file is. For each
// packet, [Reader.Next] gives the time, the link header with the VLAN tags in
// it, and the IP packet, if there is one; [Writer.Write] puts the same parts
// back. Damage is an [Error] that names file, packet and what was wrong; the
// packets in front of the damage have been handed out by then.
//
// Both formats are read here. gopacket's pcapgo keeps eight bits of the link type
// (Linux cooked v2 has nine), allocates whatever a file claims, rounds binary time
// resolutions, and brings tables of 7 MB with it; tests have it write, and read what
// is written here.
//
// Nothing here looks behind the link header: it knows neither IP nor STT.
//
// A Reader, a Writer and a Ring belong to one goroutine at a time.
package capture
