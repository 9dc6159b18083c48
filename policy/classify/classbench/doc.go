// Package classbench makes filter sets and packet headers with the proportions
// of real ones, for tests and benchmarks of matchers:
//
//	family ──Filters──▶ []Filter ──Headers──▶ []Header
//
// The proportions are those of ClassBench's seed filter sets acl1, fw1 and ipc1
// (Taylor and Turner, "ClassBench: A Packet Classification Benchmark", INFOCOM
// 2005 and IEEE/ACM Transactions on Networking 15(3), 2007): an access list, a
// firewall and an IP chain of operators who gave theirs to be measured. Of each
// they published how often a protocol occurs; which pairs of port classes go with
// it (any; low, to 1023; high, from 1024; a range; one port); which pairs of
// prefix lengths go with those; how addresses share prefixes (at each bit, how
// often both values occur and how unevenly); and how often source and
// destination have the same bits.
//
// Headers are corners of filters picked at random, repeated as a Pareto
// distribution says, as the paper's trace generator makes them.
//
// What is not here: TCP flags, the bound on nested prefixes, smoothing. The
// tables are rounded to a thousandth. A set is made larger as there: both values
// of the first bits occur until there is room.
//
// Everything is a function of the random source that is handed in.
package classbench
