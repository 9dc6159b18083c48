# Rules for all tenants, and conditions that leave nothing.

settings {
  endpoints = ["10.47.0.0/16"]
}

before_tenants {
  rule "no-telnet" {
    action   = "drop"
    services = ["tcp/23"]
  }
  rule "no-telnet-again" {
    action   = "drop"
    services = ["tcp/23"]
  }
  rule "port" {
    action       = "drop"
    ingress_port = [4]
  }
}

tenant "acme" {
  context_ids = [100]

  rule "low" {
    action   = "drop"
    services = ["tcp/0-1023"]
  }
  rule "high" {
    action   = "drop"
    services = ["tcp/1024-65535"]
  }
  rule "tcp" {
    action   = "accept"
    services = ["tcp/1000-1100"]
  }
  rule "no-vlan" {
    action = "drop"
    vlan   = [10, "!9-11"]
  }
  rule "no-ethertype" {
    action    = "drop"
    ethertype = ["ipv4", "!ipv4"]
  }
  rule "arp-in-pieces" {
    action   = "drop"
    services = ["arp"]
    fragment = ["first"]
  }
  rule "bfd" {
    action   = "accept"
    services = ["bfd"]
  }
}

tenant "globex" {
  context_ids    = [200]
  default_action = "accept"

  rule "web" {
    action   = "accept"
    services = ["tcp/443"]
  }
  rule "bfd" {
    action   = "drop"
    services = ["udp/3784"]
  }
}

after_tenants {
  rule "bfd" {
    action   = "drop"
    services = ["bfd"]
  }
}
