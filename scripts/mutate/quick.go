package main

// quickFaults are in the quick way, which has to agree with the general one.
var quickFaults = []fault{
	{"firewall/quickread.go", " || p.Checksum == ChecksumPartial && !p.GSO ||", " ||"},
	{"firewall/quickread.go", "binary.BigEndian.Uint16(data[6:])&^0x4000 != 0 ||", "false ||"},
	{"firewall/quickread.go", "if total > p.Length || len(data)", "if len(data)"},
	{"firewall/quickread.go", "0x0008_0000_ffff_0000 // PSH", "0x0f08_0000_ffff_0000 // PSH"},
	{"firewall/quickread.go", "if tci&stt.TagPresent == 0 || tci == stt.TagPresent {", "if tci == stt.TagPresent {"},
	{"firewall/quickread.go", "if tos>>2 != 0 && tos>>2 != o.tos>>2", "if tos>>2 == 0 && tos>>2 != o.tos>>2"},
	{"firewall/quickread.go", "q.packet.Trusted = inner == 0xffff", "q.packet.Trusted = inner != 0"},
	{"firewall/quickread.go", "q.verified && start+size == len(data)", "q.verified"},
	{"firewall/quickread.go", " || ip[16] >= 224 {", " {"},
	{"firewall/quickread.go", "if is < udpLen || is > size", "if is < udpLen"},
	{"firewall/quickread.go", "at+size == length && field", "field"},
	{"firewall/quickread.go", " && o.mss >= mssFloor &&", " &&"},
	{"firewall/quick.go", "|| r.Mark&markAudit != 0 ||", "||"},
	{"firewall/quickroute.go", "t.AntiSpoof != nil}", "false}"},
	{"firewall/quickroute.go", "len(t.Endpoints) > 0", "false"},
	{"firewall/quickroute.go", "r.listed(high, low) &&", ""},
	{"firewall/quickroute.go", "Admit(scratch, &d) && !d.Audit", "Admit(scratch, &d)"},
	{"firewall/quickroute.go", "if at.low != low || at.context", "if at.context"},
	{"firewall/quickroute.go", "at.context != context || at.high != high ||", "at.context != context ||"},
	{"firewall/quickroute.go", "if at.low != low || at.high", "if at.high"},
	{"firewall/quickroute.go", "	if r.of != st {", "	if r.of == nil {"},
	{"firewall/frameid.go", "	if now < f.guard.Load() {", "	if false {"},
	{"conntrack/plain.go", "less || same && uint16(ports)", "less && uint16(ports)"},
	{"conntrack/plain.go", "flags |= nameContext", "flags |= 0"},
}
