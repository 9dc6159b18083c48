// Package bench is `sttwall bench`: what forwarding costs on this host, without a queue,
// with one that accepts everything, and through the firewall.
package bench
