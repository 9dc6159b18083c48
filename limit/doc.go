// Package limit owns token buckets: how many events a second may happen, and how
// many at once.
//
//	"1000/s" ──ParseRate──▶ Rate ──NewBucket──▶ Bucket ──Take(now, n)──▶ yes or no
//
// A [Bucket] keeps one number, the time at which it will be full again (the
// generic cell rate algorithm, ITU-T I.371 annex A), so that workers can share it
// without a lock. Time is ns on the caller's clock.
//
// What is not here: what is limited, and what happens to the rest.
package limit
