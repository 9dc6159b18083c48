# Rules that load and do not do what they seem to.

settings {
  endpoints = ["10.47.0.0/16"]
}

address_group "web" {
  addresses = ["10.1.0.0/24"]
}

address_group "spare" {
  addresses = ["10.2.0.0/24"]
}

service "spare" {
  protocol = "udp"
}

before_tenants {
  rule "no-telnet" {
    action   = "drop"
    services = ["tcp/23"]
  }
}

tenant "acme" {
  context_ids = [100]

  rule "all-tcp" {
    action   = "accept"
    services = ["tcp"]
  }
  rule "web" {
    action      = "drop"
    destination = [address_group.web]
    services    = ["tcp/80"]
  }
  rule "web-again" {
    action   = "accept"
    services = ["tcp/8080"]
  }
  rule "dns-of-one" {
    action      = "accept"
    destination = ["10.1.0.53"]
    services    = ["udp/53"]
  }
  rule "dns" {
    action   = "accept"
    services = ["udp/53"]
  }
  rule "no-syn-in-udp" {
    action    = "drop"
    services  = ["udp"]
    tcp_flags = ["syn"]
  }
  rule "telnet" {
    action   = "accept"
    services = ["tcp/23", "udp/23"]
  }
  rule "no-sip" {
    action   = "drop"
    source   = ["10.9.0.0/16"]
    services = ["udp/5060"]
  }
  rule "everything" {
    action = "accept"
  }
}

tenant "ovn" {
  context_layout = "ovn"
  datapaths      = [7]

  rule "not-there" {
    action      = "drop"
    destination = ["10.3.0.0/16"]
  }
  rule "not-there-4" {
    action      = "drop"
    destination = ["10.4.0.0/16"]
  }
  rule "not-there-5" {
    action      = "drop"
    destination = ["10.5.0.0/16"]
  }
  rule "not-there-6" {
    action      = "drop"
    destination = ["10.6.0.0/16"]
  }
  rule "not-there-7" {
    action      = "drop"
    destination = ["10.7.0.0/16"]
  }
  rule "not-there-8" {
    action      = "drop"
    destination = ["10.8.0.0/16"]
  }
  rule "web" {
    action   = "accept"
    services = ["tcp/443"]
  }
}
