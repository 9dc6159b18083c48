// Package prefetch asks for memory that is needed soon, so that it comes to the
// processor's cache while other work goes on. It changes nothing and never faults:
// an address of no memory is ignored. Elsewhere than on amd64 it does nothing.
//
// Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2,
// PREFETCHh.
package prefetch
