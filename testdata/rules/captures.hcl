# Rules for the captures in testdata/pcaps: some of what is in them passes, some
# is stopped.

settings {
  endpoints = ["10.47.0.0/16"]
}
tenant "acme" {
  context_ids    = [100]
  default_action = "drop"
  rule "no-dns" {
    action   = "drop"
    services = ["udp/53"]
  }
  rule "up" {
    action      = "accept"
    destination = ["192.168.100.2"]
  }
  rule "arp" {
    action   = "accept"
    services = ["arp"]
  }
}
tenant "others" {
  context_ids    = ["0x0000000000000000/0"]
  default_action = "accept"
  rule "no-ping" {
    action   = "drop"
    services = ["icmp", "icmpv6/echo-request"]
  }
  rule "no-web" {
    action   = "drop"
    services = ["tcp/80"]
  }
}
