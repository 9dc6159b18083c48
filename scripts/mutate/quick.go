package main

// quickFaults are in the quick way, which has to agree with the general one.
var quickFaults = []fault{
	{"firewall/quickread.go", " || p.Checksum == ChecksumPartial && !p.GSO ||", " ||"},
	{"firewall/quickread.go", "binary.BigEndian.Uint16(data[6:])&^0x4000 != 0 ||", "false ||"},
	{"firewall/quickread.go", "if total > p.Length || len(data)", "if len(data)"},
	{"firewall/quickread.go", "0x0008_0000_ffff_0000 // PSH", "0x0f08_0000_ffff_0000 // PSH"},
	{"firewall/quickread.go", "if tci&stt.TagPresent == 0 {", "if tci == 0 {"},
	{"firewall/quickread.go", "if tos>>2 != 0 && tos>>2 != o.tos>>2", "if tos>>2 == 0 && tos>>2 != o.tos>>2"},
	{"firewall/quickread.go", "q.packet.Trusted = inner == 0xffff", "q.packet.Trusted = inner != 0"},
	{"firewall/quickread.go", "q.verified && start+size == len(data)", "q.verified"},
	{"firewall/quickread.go", " || ip[16] >= 224 {", " {"},
	{"firewall/quickread.go", "if is < udpLen || is > size", "if is < udpLen"},
	{"firewall/quickread.go", "at+size == length && field", "field"},
	{"firewall/quickread.go", " && o.mss >= mssFloor &&", " &&"},
	{"firewall/quick.go", "|| r.Mark&markAudit != 0 ||", "||"},
	{"firewall/quick.go", "t.AntiSpoof != nil ||", ""},
	{"firewall/quick.go", "!st.policy.Admit(scratch, &d) || d.Audit {", "d.Audit {"},
	{"firewall/quick.go", "if at.low != low ||", "if"},
	{"firewall/quick.go", "at.high != high ||", ""},
	{"firewall/quick.go", "	if r.of != st {", "	if r.of == nil {"},
	{"firewall/frameid.go", "	if now < f.guard {", "	if false {"},
	{"conntrack/plain.go", "less || same && uint16(ports)", "less && uint16(ports)"},
	{"conntrack/plain.go", "flags |= nameContext", "flags |= 0"},
}
