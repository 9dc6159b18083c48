package nfq

import (
	"fmt"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"sttwall/limit"
)

// The queues are shared by all endpoints, and a worker decides so many packets a second:
// who sends more has the kernel drop packets of others too. EndpointRate has the table
// hold each source to a rate before its packets reach a queue, with a token bucket of the
// kernel's (nft_dynset.c, nft_limit.c). Buckets are elements of a set, found by a hash with
// a secret of the kernel's (rhashtable).
const (
	setRates4   = "rates4"
	setRates6   = "rates6"
	counterRate = "endpoint_rate"

	// mostRates bounds the sources that have a bucket each: that of a set that is told no
	// size (nft_dynset_init). Where there are more, the rest has none.
	mostRates = 65535
	// rateForgotten is how long the bucket of a source stays that sends nothing.
	rateForgotten = 10 * time.Second
)

// limited reports whether sources are held to a rate.
func (c TableConfig) limited() bool { return c.EndpointRate != (limit.Rate{}) }

// rateRules drop what is over the rate of its source.
func (c TableConfig) rateRules() []rule {
	if !c.limited() {
		return nil
	}
	var list []rule
	for _, v := range []version{v4(), v6()} {
		list = append(list, rule{chainSTT, "over the rate of its endpoint", []part{c.overRate(v), dropAs(counterRate)}})
	}
	return list
}

// rateBurst is how many packets may come at once: those of a tenth of a second.
func rateBurst(r limit.Rate) uint32 {
	return uint32(max(leastBurst, min(r.Events*uint64(time.Second)/uint64(r.Per)/10, 1<<20)))
}

// leastBurst holds the segments of a few large frames.
const leastBurst = 256

// overRate matches packets that are over the rate of their source.
func (c TableConfig) overRate(v version) part {
	unit, word := expr.LimitTimeSecond, "second"
	switch c.EndpointRate.Per {
	case time.Minute:
		unit, word = expr.LimitTimeMinute, "minute"
	case time.Hour:
		unit, word = expr.LimitTimeHour, "hour"
	case 24 * time.Hour:
		unit, word = expr.LimitTimeDay, "day"
	}
	burst := rateBurst(c.EndpointRate)
	set := rateSet(v)
	return part{
		fmt.Sprintf("update @%s { %s saddr limit rate over %d/%s burst %d packets }", set, v.name, c.EndpointRate.Events, word, burst),
		append(family(v.family),
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: v.source, Len: v.len},
			&expr.Dynset{SrcRegKey: 1, SetName: set, Operation: unix.NFT_DYNSET_OP_UPDATE, Exprs: []expr.Any{
				&expr.Limit{Type: expr.LimitTypePkts, Rate: c.EndpointRate.Events, Over: true, Unit: unit, Burst: burst},
			}}),
	}
}

func rateSet(v version) string {
	if v.family == unix.NFPROTO_IPV4 {
		return setRates4
	}
	return setRates6
}

// rateSets are the sets of buckets, which are empty. Buckets keep the rate that they were
// made with.
func (c TableConfig) rateSets() (list []namedSet) {
	if !c.limited() {
		return nil
	}
	for _, s := range []*nftables.Set{
		{Name: setRates4, KeyType: nftables.TypeIPAddr}, {Name: setRates6, KeyType: nftables.TypeIP6Addr},
	} {
		s.Dynamic, s.HasTimeout, s.Timeout, s.Size = true, true, rateForgotten, mostRates
		list = append(list, namedSet{set: s, made: fmt.Sprint(c.EndpointRate)})
	}
	return list
}

// appendRateSets is rateSets for nft.
func (c TableConfig) appendRateSets(dst []byte) []byte {
	if !c.limited() {
		return dst
	}
	for _, s := range [][2]string{{setRates4, "ipv4_addr"}, {setRates6, "ipv6_addr"}} {
		dst = fmt.Appendf(dst, "\tset %s {\n\t\ttype %s\n\t\tsize %d\n\t\tflags dynamic,timeout\n\t\ttimeout %ds\n\t}\n\n", s[0], s[1], mostRates, int(rateForgotten.Seconds()))
	}
	return dst
}

// appendRate is rateRules for iptables.
func (c TableConfig) appendRate(add func(string, ...any), f Family) {
	if !c.limited() {
		return
	}
	word := map[time.Duration]string{time.Second: "sec", time.Minute: "min", time.Hour: "hour", 24 * time.Hour: "day"}[c.EndpointRate.Per]
	add("%s -m hashlimit --hashlimit-name sttwall%d --hashlimit-mode srcip --hashlimit-above %d/%s --hashlimit-burst %d --hashlimit-htable-max %d --hashlimit-htable-expire %d -j DROP",
		xtSTT, f, c.EndpointRate.Events, word, rateBurst(c.EndpointRate), mostRates, rateForgotten.Milliseconds())
}
