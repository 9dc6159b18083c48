package main

// check is one that SECURITY.md, docs/receivers.md or the design promise. off switches it
// off, wherever it is made: the quick way of the core has some of them once more. by is
// the test that must notice, as folder.Name.
type check struct {
	what string
	off  []fault
	by   string
}

// safetyChecks are the checks that the safety of what leaves rests on, in the order in
// which a packet meets them.
var safetyChecks = []check{
	// The nftables table.
	{"nft: STT is not tracked", []fault{
		{"nfq/rules_linux.go", "chainUntracked, \"STT has no connections to track\", []part{sttPort(in), notrack()}", "chainUntracked, \"STT has no connections to track\", []part{sttPort(in)}"},
	}, "nfq.TestTableSaysNoTracking"},
	{"nft: first fragments of STT", []fault{
		{"nfq/rules_linux.go", `ipv4Fragment("0x2000", 0x2000), dropAs(reason.OuterFragment.String())`, `ipv4Fragment("0x2000", 0x2000), count(reason.OuterFragment.String())`},
	}, "nfq.TestTableQueuesSTTAndNothingElse"},
	{"nft: first fragments over IPv6", []fault{
		{"nfq/rules_linux.go", "[]part{fragment}},\n\t)\n}", "[]part{count(reason.OuterFragment.String())}},\n\t)\n}"},
	}, "nfq.TestWhatTheTableDropsGoesNoFurther"},
	{"nft: later fragments between endpoints", []fault{
		{"nfq/rules_linux.go", `[]part{ipv4TCP(), ipv4Fragment("0x1fff", 0x1fff), dropAs(reason.OuterFragment.String())}`, `[]part{ipv4TCP(), ipv4Fragment("0x1fff", 0x1fff), count(reason.OuterFragment.String())}`},
	}, "nfq.TestWhatTheTableDropsGoesNoFurther"},
	{"nft: who is no endpoint", []fault{
		{"nfq/rules_linux.go", "[]part{endpoint(v, source, notIn), dropAs(reason.EndpointUnknown.String())}", "[]part{endpoint(v, source, notIn), count(reason.EndpointUnknown.String())}"},
	}, "nfq.TestTableQueuesSTTAndNothingElse"},
	{"nft: GRE, IP in IP between endpoints", []fault{
		{"nfq/rules_linux.go", "[]part{tunnelProtocol(), dropAs(counterTunnel)}", "[]part{tunnelProtocol(), count(counterTunnel)}"},
	}, "nfq.TestWhatTheTableDropsGoesNoFurther"},
	{"nft: VXLAN, Geneve between endpoints", []fault{
		{"nfq/rules_linux.go", "[]part{tunnelPort(), dropAs(counterTunnel)}", "[]part{tunnelPort(), count(counterTunnel)}"},
	}, "nfq.TestWhatTheTableDropsGoesNoFurther"},
	{"nft: only STT between endpoints", []fault{
		{"nfq/rules_linux.go", `rule{chain, "not STT", []part{dropAs(counterNotSTT)}})`, `rule{chain, "not STT", []part{count(counterNotSTT)}})`},
	}, "nfq.TestWhatTheTableDropsGoesNoFurther"},
	{"nft: what this host sends", []fault{
		{"nfq/rules_linux.go", "list = append(list, c.leadOn(chainGuardOut, c.betweenOut())...)", ""},
	}, "nfq.TestWhatThisHostSendsIsInspected"},
	{"nft: bridged frames in which STT could pass unseen", []fault{
		{"nfq/bridge_linux.go", "}}, dropAs(counterHidden)}})\n\tfor", "}}, count(counterHidden)}})\n\tfor"},
	}, "nfq.TestFramesInWhichSTTCouldPassUnseenAreDropped"},
	{"nft: bridged 802.3 frames with IP in them", []fault{
		{"nfq/bridge_linux.go", "frame8023(start), dropAs(counterHidden)", "frame8023(start), count(counterHidden)"},
	}, "nfq.TestFramesInWhichSTTCouldPassUnseenAreDropped"},
	{"nft: bridged packets are shown to the hooks of IP", []fault{
		{"nfq/bridge_linux.go", "\treturn b.settings.set(neededSettings())", "\treturn nil"},
	}, "nfq.TestABridgeIsInspected"},
	{"boot: the hooks of run", []fault{
		{"cmd/sttwall/bootflags.go", "wish.table, err = inline.config()", "_, err = inline.config()"},
	}, "cmd/sttwall.TestTheBootUnitWantsTheTableThatRunWillWant"},
	{"boot: flags that are wrong", []fault{
		{"cmd/sttwall/boot.go", "\t\twish, wrong = wishOf(args)\n", "\t\tif wish, wrong = wishOf(args); wrong != nil {\n\t\t\treturn wrong\n\t\t}\n"},
	}, "cmd/sttwall.TestWithFlagsThatAreWrongTheBootUnitDropsAllTheSame"},
	{"boot: a bridge without br_netfilter", []fault{
		{"cmd/sttwall/boot.go", "if err != nil && wish.table.Hooks.Has(nfq.HookBridge) {", "if false {"},
	}, "cmd/sttwall.TestWithoutBrNetfilterTheBootUnitDropsWhatIsRouted"},
	{"nft: an endpoint where it does not come in", []fault{
		{"nfq/interfaces_linux.go", `"not where this endpoint comes in", []part{dropAs(counterInterface)}`, `"not where this endpoint comes in", []part{count(counterInterface)}`},
	}, "nfq.TestAnInterfaceIsFollowedByName"},
	{"nft: the rate of one source", []fault{
		{"nfq/endpointrate_linux.go", "c.overRate(v), dropAs(counterRate)", "c.overRate(v), count(counterRate)"},
	}, "nfq.TestASourceOverItsRateLosesItsOwnPackets"},
	{"nft: super-segments of small pieces", []fault{
		{"nfq/rules_linux.go", "smallPieces(c.Guard), dropAs(counterSmallGSO)", "smallPieces(c.Guard), count(counterSmallGSO)"},
	}, "nfq.TestTheGuardDropsSuperSegmentsOfSmallPieces"},
	{"nft: what another program removes is put in again", []fault{
		{"nfq/tablewatch_linux.go", "\tcase !restore:", "\tcase true || !restore:"},
	}, "nfq.TestATableThatIsLostIsRestored"},
	{"nft: dropped while nobody listens", []fault{
		{"nfq/match_linux.go", "\tif bypass {\n\t\ttext =", "\tbypass = true\n\tif bypass {\n\t\ttext ="},
	}, "nfq.TestTableStaysAndDropsWithoutListener"},
	{"nft: the table stays when the program ends", []fault{
		{"cmd/sttwall/run.go", "\trunning.Wait()\n\tendLog()", "\trunning.Wait()\n\tnfq.RemoveTable(c.inline.Queue.NetNS)\n\tendLog()"},
	}, "cmd/sttwall.TestTheTableStaysAfterTheEndUntilItIsRemoved"},
	// The queue.
	{"queue: no word of the kernel on the checksum of what this host sends", []fault{
		{"nfq/message.go", "info |= infoChecksumUnverified", "info |= 0"},
	}, "nfq.TestPacketOfANetlinkMessage"},
	{"queue: closed where it is full", []fault{
		{"nfq/fast_linux.go", "flags := uint32(configGSO)\n", "flags := uint32(configGSO | configFailOpen)\n"},
	}, "nfq.TestFastKeepsThePromisesOfQueue"},
	{"queue: at most half of it is held", []fault{
		{"nfq/queue.go", "maxHeld > length/2 {", "maxHeld > length {"},
	}, "nfq.TestHoldingMoreThanHalfTheQueueIsRefused"},
	{"queue: no payload shorter than its headers is sent", []fault{
		{"nfq/verdict.go", "return len(payload) >= 20+20", "return true"},
	}, "nfq.TestSendablePayload"},
	{"queue: a verdict names its packet", []fault{
		{"nfq/message.go", "binary.BigEndian.Uint16(m.body[2:]) != queue", "false"},
	}, "nfq.TestPacketOfANetlinkMessage"},
	// The outer packet.
	{"outer: IPv4 header checksum", []fault{
		{"stt/outer.go", "case checksum.Sum20(b) != 0xffff:", "case false && checksum.Sum20(b) != 0xffff:"},
		{"firewall/quickread.go", " ||\n\t\t\tchecksum.Sum20((*[ipv4Len]byte)(data)) != 0xffff {", " {"},
	}, "firewall.TestEveryReasonIsProvokedCountedOnceAndLetsNothingOut"},
	{"outer: IP length within the packet", []fault{
		{"stt/outer.go", "total < headerLen || total > length {", "total < headerLen {"},
		{"firewall/quickread.go", "if total > p.Length || len(data)", "if len(data)"},
	}, "firewall.TestEveryReasonIsProvokedCountedOnceAndLetsNothingOut"},
	{"outer: IPv4 options", []fault{{"stt/outer.go", "case headerLen != ipv4HeaderLen:", "case false:"}}, "stt.TestDecodeSaysWhyAPacketIsRefused"},
	{"outer: first fragments", []fault{{"stt/outer.go", "case fragment&0x2000 != 0:", "case false:"}}, "stt.TestDecodeSaysWhyAPacketIsRefused"},
	{"outer: later fragments", []fault{{"stt/outer.go", "if fragment&0x1fff != 0 {", "if false {"}}, "stt.TestDecodeSaysWhyAPacketIsRefused"},
	{"outer: IPv6 extension headers", []fault{
		{"stt/outer.go", "return r\n\t\t\t}\n\t\t\treturn reason.OuterOptions", "return r\n\t\t\t}\n\t\t\to.HeaderLen = at\n\t\t\treturn reason.None"},
	}, "stt.TestDecodeSaysWhyAPacketIsRefused"},
	{"outer: IPv6 fragments", []fault{
		{"stt/outer.go", "return reason.OuterFragment\n\t\tcase protocolTCP:", "next, at = packet[at], at+8\n\t\tcase protocolTCP:"},
	}, "stt.TestDecodeSaysWhyAPacketIsRefused"},
	{"outer: the STT port", []fault{
		{"stt/outer.go", "\t\t\treturn reason.None\n\t\t}\n\t}\n\treturn reason.NotSTT", "\t\t\treturn reason.None\n\t\t}\n\t}\n\treturn reason.None"},
		{"firewall/quickread.go", " ||\n\t\t!isPort(f.standing.settings.STTPorts, binary.BigEndian.Uint16(h[2:])) {", " {"},
	}, "firewall.TestEveryReasonIsProvokedCountedOnceAndLetsNothingOut"},
	{"outer: TCP flags", []fault{{"stt/segment.go", "case h[13]&^(FlagACK|FlagPSH) != 0:", "case false:"}}, "stt.TestDecodeSaysWhyAPacketIsRefused"},
	{"outer: TCP data offset", []fault{{"stt/segment.go", "case h[12]>>4 != SegmentHeaderLen/4:", "case false:"}}, "stt.TestDecodeSaysWhyAPacketIsRefused"},
	{"outer: TCP checksum", []fault{
		{"firewall/firewall.go", "\t\tif !good {", "\t\tif false && !good {"},
		{"firewall/quickread.go", "uint64(total-headerLen)) != 0xffff {", "uint64(total-headerLen)) != 0xffff && len(data) == 0 {"},
	}, "firewall.TestEveryReasonIsProvokedCountedOnceAndLetsNothingOut"},
	{"outer: who is no endpoint", []fault{
		{"firewall/firewall.go", "if !e.Contains(s.Src) {", "if false {"},
		{"firewall/quickroute.go", "r.listed(high, low) &&", ""},
	}, "firewall.TestEveryReasonIsProvokedCountedOnceAndLetsNothingOut"},
	{"outer: where reload takes an endpoint away", []fault{
		{"firewall/firewall.go", "(s.Src != f.admitted || e != f.admittedBy)", "s.Src != f.admitted"},
	}, "firewall.TestASourceIsAdmittedByTheEndpointsThatHold"},
	// Reassembly.
	{"reassembly: segments past the end", []fault{
		{"reassembly/segment.go", ", s.Offset < 0, length > s.FrameLength-s.Offset:", ", s.Offset < 0:"},
	}, "reassembly.TestASegmentThatContradictsItsFrameDropsAllOfIt"},
	{"reassembly: offsets 1 to 17", []fault{
		{"reassembly/segment.go", "case s.Offset > 0 && s.Offset < stt.FrameHeaderLen:", "case false:"},
	}, "reassembly.TestASegmentThatContradictsItsFrameDropsAllOfIt"},
	{"reassembly: empty segments", []fault{{"reassembly/segment.go", "case length == 0:", "case false:"}}, "reassembly.TestASegmentThatContradictsItsFrameDropsAllOfIt"},
	{"reassembly: one source port", []fault{{"reassembly/entry.go", "case s.SrcPort != e.srcPort:", "case false:"}}, "reassembly.TestASegmentThatContradictsItsFrameDropsAllOfIt"},
	{"reassembly: one destination port", []fault{{"reassembly/entry.go", "case s.DstPort != e.dstPort:", "case false:"}}, "reassembly.TestASegmentThatContradictsItsFrameDropsAllOfIt"},
	{"reassembly: one total length", []fault{{"reassembly/entry.go", "case s.FrameLength != e.length:", "case false:"}}, "reassembly.TestASegmentThatContradictsItsFrameDropsAllOfIt"},
	{"reassembly: overlap with the segment before", []fault{
		{"reassembly/order.go", "if at.at > 0 && int(r.spans[at.at-1].end) > start {", "if false {"},
	}, "reassembly.TestASegmentThatContradictsItsFrameDropsAllOfIt"},
	{"reassembly: overlap with the segment behind", []fault{{"reassembly/order.go", "case int(next.start) < end:", "case false:"}}, "reassembly.TestASegmentThatContradictsItsFrameDropsAllOfIt"},
	{"reassembly: exact duplicates", []fault{
		{"reassembly/order.go", "case int(next.start) == start && int(next.end) == end:\n\t\treturn at, reason.SegmentDuplicate\n\tcase int(next.start) < end:", "case int(next.start) == start && int(next.end) == end:\n\tcase int(next.start) < end:"},
	}, "reassembly.TestASegmentThatContradictsItsFrameDropsAllOfIt"},
	{"reassembly: every byte has come", []fault{
		{"reassembly/reassembler.go", "\tif e.received < e.length {", "\tif e.received < e.length-1 {"},
	}, "reassembly.TestAFrameComesOutEqualOrNotAtAll"},
	{"reassembly: a dropped key stays dropped", []fault{
		{"reassembly/drop.go", "\tr.release(e)\n\tr.bury(e, why)", "\tr.release(e)\n\tr.remove(e)"},
		{"reassembly/drop.go", "\tr.bury(r.enter(s, r.ledger.source(s.Src)), why)\n", ""},
	}, "reassembly.TestATombstoneLastsItsTimeAndNoLonger"},
	{"reassembly: a frame's time", []fault{
		{"reassembly/reassembler.go", "e != nil && r.now-e.at >= r.timeout;", "false && e != nil && r.now-e.at >= r.timeout;"},
	}, "reassembly.TestAFrameHasItsTimeFromTheFirstSegmentOn"},
	{"reassembly: the share of one source", []fault{
		{"reassembly/reassembler.go", "for src.used[res]+n > l.share[res] || l.used", "for l.used"},
	}, "reassembly.TestOneOffenderCannotPushOutOthers"},
	{"reassembly: the bound of all", []fault{
		{"reassembly/reassembler.go", "> l.share[res] || l.used[res]+n > l.total[res] {", "> l.share[res] {"},
	}, "reassembly.TestWhenAllIsFullTheOldestFrameOfAllIsLost"},
	// The frame header.
	{"frame: shorter than its headers", []fault{
		{"firewall/firewall.go", "if fr.FrameLength < stt.FrameHeaderLen+ethernetHeaderLen {", "if fr.FrameLength < stt.FrameHeaderLen {"},
	}, "firewall.TestEveryReasonIsProvokedCountedOnceAndLetsNothingOut"},
	{"frame: version", []fault{
		{"firewall/firewall.go", "case h.Version != 0:", "case false:"},
		{"firewall/quickread.go", "if h[0] != 0 || h[3] != 0", "if h[3] != 0"},
	}, "firewall.TestEveryReasonIsProvokedCountedOnceAndLetsNothingOut"},
	{"frame: both checksum flags", []fault{{"firewall/firewall.go", "case h.ChecksumPartial() && h.ChecksumVerified():", "case false:"}}, "firewall.TestEveryReasonIsProvokedCountedOnceAndLetsNothingOut"},
	{"frame: the L4 offset of a partial checksum", []fault{
		{"inspect/verify.go", "\tif int(o.L4Offset) != f.L4Offset {", "\tif false {"},
		{"firewall/quickread.go", "int(o.l4Offset) == at && ", ""},
	}, "internal/evasion.TestNothingDeniedIsDelivered"},
	{"frame: an L4 offset that means nothing", []fault{{"inspect/verify.go", "if o.L4Offset != 0 && int(o.L4Offset) != f.L4Offset {", "if false {"}}, "inspect.TestClaimsThatAreLies"},
	{"frame: partial, the IP version flag", []fault{{"inspect/verify.go", "(f.IP == 4) != o.IPv4 ||", ""}}, "inspect.TestClaimsThatAreLies"},
	{"frame: partial, the TCP flag", []fault{{"inspect/verify.go", "f.Protocol != protocol || ", "f.Protocol != protocol && false || "}}, "inspect.TestClaimsThatAreLies"},
	{"frame: partial, no tag inside", []fault{{"inspect/verify.go", "f.L3Offset != ethernetLen || ", ""}}, "inspect.TestClaimsThatAreLies"},
	{"frame: partial, no fragment", []fault{{"inspect/verify.go", "\n\t\tf.Fragmented || f.Atomic {", "\n\t\tfalse {"}}, "inspect.TestClaimsThatAreLies"},
	{"frame: partial, the IP length ends with the frame", []fault{
		{"inspect/verify.go", "if f.IPEnd != length {", "if false {"},
		{"firewall/quickread.go", "at+size == length && field", "field"},
	}, "inspect.TestClaimsThatAreLies"},
	{"frame: partial, the UDP length", []fault{
		{"inspect/verify.go", "if !o.TCP && int(binary", "if false && int(binary"},
		{"firewall/quickread.go", "is > size || o.partial() && is != size {", "is > size {"},
	}, "inspect.TestClaimsThatAreLies"},
	{"frame: partial, the pseudo-header sum", []fault{
		{"inspect/verify.go", "!= f.pseudoSum(data, size) {", "!= f.pseudoSum(data, size) && false {"},
		{"firewall/quickread.go", " && field == pseudo &&", " && (field == pseudo || true) &&"},
	}, "inspect.TestClaimsThatAreLies"},
	{"frame: the MSS floor", []fault{
		{"inspect/verify.go", "o.MSS < o.MSSFloor && int(o.MSS) < f.TCPPayload() {", "false {"},
		{"firewall/quickread.go", "o.mss >= mssFloor && ", ""},
	}, "inspect.TestClaimsThatAreLies"},
	{"frame: no MSS on UDP", []fault{{"inspect/verify.go", "if !o.TCP || o.MSS < o.MSSFloor", "if o.MSS < o.MSSFloor"}}, "inspect.TestClaimsThatAreLies"},
	// The inner frame.
	{"inner: at most two tags", []fault{{"inspect/decode.go", "f.TagCount > MaxTags || ", "int(f.TagCount) > len(f.Tags) || "}}, "inspect.TestRefusedFrames"},
	{"inner: no tag behind one without a VLAN ID", []fault{{"inspect/decode.go", " || f.TagCount > 1 && f.Tags[f.TagCount-2]&vlanID == 0 {", " {"}}, "inspect.TestATagBehindOneWithoutAVLANIDIsRefused"},
	{"inner: LLC without SNAP", []fault{{"inspect/decode.go", "return reason.InnerLLC\n\t}\n\tetherType :=", "return reason.None\n\t}\n\tetherType :="}}, "inspect.TestRefusedFrames"},
	{"inner: IPv4 source routes", []fault{{"inspect/ip.go", "&& sourceRouted(data", "&& false && sourceRouted(data"}}, "inspect.TestRefusedFrames"},
	{"inner: IPv6 routing headers", []fault{{"inspect/ip.go", "if b[3] != 0 {", "if false {"}}, "inspect.TestRefusedFrames"},
	{"inner: IPv4 length within the frame", []fault{
		{"inspect/ip.go", "total < headerLen || total > end-l3 {", "total < headerLen {"},
		{"firewall/quickread.go", "if size < udpLen || at+size > length {", "if size < udpLen {"},
	}, "firewall.TestEveryReasonIsProvokedCountedOnceAndLetsNothingOut"},
	{"inner: a TCP fragment at offset 8", []fault{{"inspect/ip.go", "case g.Offset == 8 && f.Protocol == ProtocolTCP:", "case false:"}}, "inspect.TestRefusedFrames"},
	{"inner: a first fragment holds its L4 header", []fault{
		{"inspect/transport.go", "\tif f.Fragmented {\n\t\treturn reason.InnerFragment\n\t}\n\treturn reason.InnerTruncated", "\tif f.Fragmented {\n\t\treturn reason.None\n\t}\n\treturn reason.InnerTruncated"},
	}, "inspect.TestRefusedFrames"},
	{"inner: no fragment over the headers of the first", []fault{{"conntrack/fragments.go", "if uint32(g.Offset) < e.rests {", "if false {"}}, "firewall.TestAFragmentInsideTheHeadersIsDropped"},
	{"inner: two first fragments that differ", []fault{{"conntrack/fragments.go", "\tif !e.passed || e.same(headers, seed) {", "\tif true || e.same(headers, seed) {"}}, "firewall.TestTwoFirstFragmentsThatDifferEndThePacket"},
	{"inner: later fragments follow the first", []fault{{"firewall/fragment.go", "\tswitch {\n\tcase v.Accept:", "\tswitch {\n\tcase v.Accept, v.Rule >= 0:"}}, "firewall.TestLaterInnerFragmentsFollowTheirFirst"},
	{"inner: later fragments without their first", []fault{
		{"policy/evaluate.go", "case fragmentOf(k.Frame) == fragmentLater:", "case false:"},
		{"firewall/fragment.go", "\t\t\td.Refuse(policy.Drop, g.why, t.Audit)", "\t\t\td.Action, _ = policy.Accept, t.Audit"},
	}, "firewall.TestLaterInnerFragmentsFollowTheirFirst"},
	{"inner: TCP flags that no stack sends", []fault{
		{"inspect/transport.go", "\tif ImpossibleFlags(flags) {", "\tif false {"},
		{"firewall/quickread.go", " || inspect.ImpossibleFlags(c.TCPFlags) {", " {"},
	}, "firewall.TestEveryReasonIsProvokedCountedOnceAndLetsNothingOut"},
	// Who may send what.
	{"tenant: Context IDs of nobody", []fault{{"policy/evaluate.go", "d.Action, d.Reason = Drop, reason.ContextUnknown", "d.Action = Accept"}}, "firewall.TestEveryReasonIsProvokedCountedOnceAndLetsNothingOut"},
	{"tenant: its own endpoints", []fault{{"policy/evaluate.go", "\tif !has {", "\tif false {"}}, "firewall.TestEveryReasonIsProvokedCountedOnceAndLetsNothingOut"},
	{"tenant: the top bits of OVN's layout", []fault{{"policy/evaluate.go", "return contextID>>ovnBits != 0", "return false"}}, "firewall.TestEveryReasonIsProvokedCountedOnceAndLetsNothingOut"},
	{"bindings: declared ones", []fault{{"policy/antispoof.go", "\tif o.Spoofed < 0 {\n\t\treturn true", "\tif true {\n\t\treturn true"}}, "firewall.TestADeclaredAddressComesFromItsEndpointsAlone"},
	{"bindings: learned ones", []fault{{"firewall/binding.go", "if o.Spoofed < 0 && (f.peek == nil || !f.peek.anyEndpoint) {", "if false {"}}, "firewall.TestALearnedAddressComesFromWhereItLives"},
	{"bindings: what is dropped teaches nothing", []fault{
		{"firewall/firewall.go", "\tif r == reason.None {\n\t\tf.at(StageLeave)\n\t\tf.commitBindings(now)", "\tf.commitBindings(now)\n\tif r == reason.None {\n\t\tf.at(StageLeave)"},
	}, "firewall.TestAFrameThatCannotLeaveTeachesNothing"},
	// Flows and rules.
	{"flow: its endpoints", []fault{{"conntrack/track.go", "if elsewhere && !l.mayMove {", "if false {"}}, "conntrack.TestAFlowMoves"},
	{"flow: judged anew by other rules", []fault{{"conntrack/track.go", "if e.generation != generation {", "if false {"}}, "firewall.TestAReloadEndsWhatTheNewRulesDeny"},
	{"flow: TCP that starts in the middle", []fault{
		{"conntrack/track.go", "\t\tl.startable = l.segment.begins(p.Loose)", "\t\t"},
		{"conntrack/plain.go", "\t\tl.startable = l.segment.begins(p.Loose)", "\t\t"},
	}, "firewall.TestEveryReasonIsProvokedCountedOnceAndLetsNothingOut"},
	{"flow: TCP outside of the window", []fault{{"conntrack/tcp.go", "case after(seq, h.maxEnd), //", "case after(seq, h.maxEnd) && false, //"}}, "conntrack.TestTCP"},
	{"flow: TCP moves on right checksums alone", []fault{
		{"firewall/state.go", "c.Trusted = !e.Inner.HasTCP || e.Header.ChecksumPartial() || e.Header.ChecksumVerified() || innerGood(fr, &e.Inner)", "c.Trusted = true || innerGood(fr, &e.Inner)"},
		{"firewall/quickread.go", "q.packet.Trusted = inner == 0xffff", "q.packet.Trusted = inner == 0xffff || true"},
	}, "firewall.TestABadInnerChecksumMovesNoState"},
	{"flow: the share of an endpoint", []fault{{"conntrack/endpoints.go", "c.MaxFlows - c.MaxFlows/4", "c.MaxFlows"}}, "conntrack.TestAnEndpointLeavesRoomForTheFlowsOfOthers"},
	{"flow: half-open ones of a tenant", []fault{{"conntrack/limits.go", "n > int64(limits.HalfOpen)", "n > int64(limits.HalfOpen) && false"}}, "conntrack.TestLimits"},
	{"rules: what none accepts", []fault{{"policy/evaluate.go", "\t\td.Refuse(t.DefaultAction, reason.TenantDefault, t.Audit)", "\t\td.Action = Accept"}}, "firewall.TestEveryReasonIsProvokedCountedOnceAndLetsNothingOut"},
	{"rules: none is decided on a part of the headers", []fault{
		{"firewall/rewrite.go", "if rewrite && cut {", "if false {"},
	}, "firewall.TestACutPacketLeavesOnlyAsItCame"},
	{"reject: nobody without a list of endpoints is answered", []fault{{"firewall/reject.go", "if f.standing.endpoints == nil {", "if false {"}}, "firewall.TestAnswersHaveALimitAndConditions"},
	// What leaves.
	{"canonical: the first packet holds all headers", []fault{{"firewall/rewrite.go", "recut := fr.Packets[0].Length < needed", "recut := false && fr.Packets[0].Length < needed"}}, "firewall.TestAFirstSegmentTooSmallForTheHeadersIsCutAnew"},
	{"canonical: super-segments are not cut anew", []fault{{"firewall/rewrite.go", "\t\tif packets[i].GSO {\n\t\t\treturn false", "\t\tif false {\n\t\t\treturn false"}}, "firewall.TestSegmentsTooSmallForTheHeadersAreRefused"},
	{"canonical: a header that is not leaves anew", []fault{{"firewall/rewrite.go", "recut || header != e.Header || !f", "recut || !f"}}, "firewall.TestWhatLeavesIsCanonical"},
	{"canonical: flags, L4 offset, MSS that mean nothing", []fault{{"firewall/canonical.go", "\t\tc.L4Offset, c.MSS = 0, 0\n", ""}}, "firewall.TestWhatLeavesIsCanonical"},
	{"canonical: reserved and padding", []fault{{"firewall/canonical.go", "\tc.Reserved, c.Padding = 0, 0\n", ""}}, "firewall.TestWhatLeavesIsCanonical"},
	{"canonical: a tag has V", []fault{
		{"firewall/canonical.go", "\t\tc.TCI |= stt.TagPresent\n", ""},
		{"firewall/quickread.go", "if tci&stt.TagPresent == 0 || tci == stt.TagPresent {", "if false {"},
	}, "firewall.TestWhatLeavesIsCanonical"},
	{"canonical: outer DSCP", []fault{
		{"firewall/canonical.go", "\tif receivers == policy.ReceiversAny && tos>>2 != 0 {", "\tif false {"},
		{"firewall/quickread.go", "if tos>>2 != 0 && tos>>2 != o.tos>>2", "if false && tos>>2 != o.tos>>2"},
	}, "firewall.TestWhatLeavesIsCanonical"},
	{"canonical: congestion experienced on all packets", []fault{{"firewall/canonical.go", "\tif ce {\n\t\ttos |= 3\n\t}\n", ""}}, "firewall.TestReencodedSegmentsHaveConsecutiveIDsAndShareCE"},
	{"canonical: the segment header", []fault{{"firewall/canonical.go", "if !p.Canonical {", "if false {"}}, "firewall.TestWhatLeavesIsCanonical"},
	{"canonical: unfinished checksums of single packets", []fault{
		{"firewall/canonical.go", "if packets[i].Unfinished {", "if false {"},
		{"firewall/quickread.go", " || p.Checksum == ChecksumPartial && !p.GSO ||", " ||"},
	}, "firewall.TestAnUnfinishedChecksumIsFinishedHere"},
	{"frame ID: none twice", []fault{
		{"firewall/frameid.go", "if now >= f.guard.Load() && f.claim(now, src, dst, want) {", "if now >= f.guard.Load() {"},
		{"firewall/frameid.go", "return now >= f.guard.Load() && f.claim(now, src, dst, id)", "return now >= f.guard.Load()"},
	}, "firewall.TestAFrameOfSeveralPacketsDoesNotLeaveTwiceWithOneID"},
	{"frame ID: for the whole of the window", []fault{
		{"firewall/frameid.go", "return f.maps[(turns+2)%3][word].Load()&mask == 0 && !used", "return !used"},
	}, "firewall.TestAFrameIDIsClaimedOnceWithin90Seconds"},
	{"frame ID: the guard after a start", []fault{
		{"firewall/frameid.go", "if now >= f.guard.Load() && f.claim(now, src, dst, want) {", "if f.claim(now, src, dst, want) {"},
		{"firewall/frameid.go", "return now >= f.guard.Load() && f.claim(now, src, dst, id)", "return f.claim(now, src, dst, id)"},
		{"firewall/frameid.go", "\tif now < f.guard.Load() {", "\tif false {"},
	}, "firewall.TestTheStartupGuardReplacesEveryIDOfSeveralPackets"},
	{"frame ID: the guard once more where packets passed undecided", []fault{
		{"firewall/frameid.go", "for old := f.guard.Load(); time > old &&", "for old := f.guard.Load(); false && time > old &&"},
	}, "firewall.TestFrameIDsAreGuardedOnceMore"},
	{"panic: contained", []fault{
		{"firewall/contain.go", "if w.part == done || f.panics.told == nil {", "if true {"},
	}, "firewall.TestAPanicCostsThePacketAtHandWhereverItIs"},
	{"panic: no packet is decided twice", []fault{
		{"firewall/quick.go", "w.at, w.reading = from, true", "w.reading = true"},
	}, "firewall.TestAPanicCostsThePacketAtHandWhereverItIs"},
	{"panic: what was being let out is dropped", []fault{
		{"firewall/contain.go", "\tout.allDrop(w.mark)\n", ""},
	}, "firewall.TestAnObserverThatPanicsIsContained"},
	{"handover: frame IDs that have left are taken over", []fault{
		{"firewall/frameidhandover.go", "words[at*lineWords+uint64(i)].Or(binary.LittleEndian.Uint64(b[4+8*i:]))", "words[at*lineWords+uint64(i)].Or(0)"},
	}, "firewall.TestFrameIDsStayClaimedInAnotherFilter"},
	{"handover: a state that is not as it was written", []fault{
		{"handover/stream.go", "if sum(r.table, r.number, r.buffer[:end]) != binary.LittleEndian.Uint32(r.buffer[end:]) {", "if false {"},
	}, "handover.TestAStateThatIsNotAsItWasWrittenIsNoticed"},
	{"handover: a file that others may have written", []fault{
		{"handover/file_linux.go", "case info.Mode().Perm()&0o077 != 0:", "case false:"},
		{"handover/file_linux.go", "case !ok || of.Uid != 0 && int(of.Uid) != os.Geteuid():", "case !ok:"},
	}, "handover.TestAFileThatOthersMayHaveWrittenIsNotRead"},
	// Who runs it, and who asks.
	{"reload: a file that does not load changes nothing", []fault{
		{"policy/load.go", "diags = tidy(l.diags, filename)\n\tif diags.HasErrors() {", "diags = tidy(l.diags, filename)\n\tif false {"},
		{"cmd/sttwall/load.go", "if diagnostics.HasErrors() {", "if diagnostics.HasErrors() && rules == nil {"},
	}, "cmd/sttwall.TestReloadPutsTheChangedFileInForce"},
	{"reload: what loads is in force", []fault{{"nfq/inline_linux.go", "\tin.shared.SetPolicy(p)\n\tin.since", "\tin.since"}}, "cmd/sttwall.TestReloadReadsFilesOfAddressesAgain"},
	{"control: who may change things", []fault{{"control/server.go", "\t\t\tif !allowed {", "\t\t\tif false {"}}, "control.TestWhoMayDoWhat"},
	{"control: whom the kernel names", []fault{{"control/peer_linux.go", "UID: int(cred.Uid),", "UID: 0,"}}, "control.TestWhoMayDoWhat"},
	{"control: the socket is closed to others", []fault{{"control/listen_linux.go", "socketMode = 0o660", "socketMode = 0o666"}}, "control.TestTheSocketIsNeverOpenToOthers"},
	{"control: requests are bounded", []fault{{"control/server.go", "\t\tr.Body = http.MaxBytesReader(w, r.Body, maxBody)\n", ""}}, "control.TestRequestsThatAreNoneAreAnsweredInJSON"},
	{"state file: nobody else may write it", []fault{{"temporary/state.go", "case info.Mode().Perm()&0o022 != 0:", "case false:"}}, "temporary.TestAStateFileThatOthersMayHaveWrittenStopsTheStart"},
}
