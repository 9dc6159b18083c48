settings {
  endpoints = ["10.47.0.0/16"]
}

before_tenants {
  rule "no-telnet" {
    action   = "reject"
    services = ["tcp/23"]
  }
}

tenant "acme" {
  context_ids = [100, 101]

  rule "not-the-printer" {
    action      = "drop"
    destination = ["10.1.0.9"]
  }
  rule "web" {
    action   = "accept"
    services = ["tcp/80-81", "icmp/echo-request"]
    log      = true
  }
  rule "dns" {
    action   = "accept"
    services = ["udp/53"]
  }
  rule "lldp" {
    action    = "accept"
    ethertype = ["arp", "0x88cc"]
    vlan      = [10]
    limit {
      rate = "10/s"
    }
  }
}

tenant "other" {
  context_ids = [300]
}
