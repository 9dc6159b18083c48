# The rules of the live demo. Three tenants with the same addresses: 10.1.0.0/24
# and fd00:10:1::/64, clients on the one side and servers on the other. Change
# this file and press R twice on the screen Rules, or run `sttwall reload`: what
# it says is in force at once. A file that does not load changes nothing.

settings {
  endpoints      = ["10.47.1.1", "10.47.2.1"]
  receivers      = "any"
  default_action = "drop"
  flows          = 20000
}

address_group "web" {
  addresses = ["10.1.0.80", "fd00:10:1::80"]
}

service "ping" {
  services = ["icmp/echo-request", "icmpv6/echo-request"]
}

# What is in no rule is dropped: HTTPS, for one, and what a port scan tries.
tenant "acme" {
  context_ids    = [100]
  default_action = "drop"

  rule "no-telnet" {
    action   = "drop"
    services = ["tcp/23"]
  }

  rule "web" {
    action      = "accept"
    destination = [address_group.web]
    services    = ["tcp/80"]
  }

  rule "dns" {
    action      = "accept"
    destination = ["10.1.0.53"]
    services    = ["udp/53"]
  }

  rule "ping" {
    action   = "accept"
    services = [service.ping]
  }

  rule "ssh" {
    action   = "accept"
    source   = ["10.1.0.12"]
    services = ["tcp/22"]
  }

  rule "backup" {
    action      = "accept"
    source      = ["10.1.0.11"]
    destination = ["10.1.0.90"]
    services    = ["tcp/873"]
  }

  rule "syslog" {
    action      = "accept"
    destination = ["10.1.0.90"]
    services    = ["udp/514"]
  }
}

tenant "globex" {
  context_ids    = [200]
  default_action = "drop"

  # A reject is answered, so that clients need not wait.
  rule "no-mail" {
    action   = "reject"
    services = ["tcp/25"]
  }

  rule "web" {
    action      = "accept"
    source      = ["10.1.0.11", "10.1.0.12"]
    destination = [address_group.web]
    services    = ["tcp/80"]
  }

  rule "dns" {
    action      = "accept"
    destination = ["10.1.0.53"]
    services    = ["udp/53"]
  }

  rule "database" {
    action      = "accept"
    destination = ["10.1.0.90"]
    services    = ["tcp/5432"]
  }
}

# New here, and only watched yet: what would be dropped passes, and is counted.
tenant "initech" {
  context_ids    = [300]
  mode           = "audit"
  default_action = "drop"

  rule "web" {
    action      = "accept"
    destination = [address_group.web]
    services    = ["tcp/80"]
  }

  rule "dns" {
    action      = "accept"
    destination = ["10.1.0.53"]
    services    = ["udp/53"]
  }
}
