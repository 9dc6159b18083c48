# The rules of the demo: two tenants with the same addresses on both sides
# (192.168.0.1 and .2, fd00:192:168::1 and ::2), told apart by their Context
# IDs. Rules are about the first packet of a flow; its replies pass by themselves.

settings {
  stt_ports      = [7471]
  endpoints      = ["10.47.1.1", "10.47.2.1", "fd47:1::1", "fd47:2::1"]
  receivers      = "any"
  default_action = "drop"
}

service "web" {
  protocol = "tcp"
  ports    = [8080]
}

tenant "acme" {
  context_ids    = [100]
  default_action = "drop"

  # Not left to themselves, so that the demo can stop one.
  neighbor_discovery = "rules"

  rule "no-gateway" {
    action      = "drop"
    destination = ["192.168.0.254"]
    services    = ["arp"]
  }

  rule "arp" {
    action   = "accept"
    services = ["arp"]
  }

  rule "neighbours" {
    action   = "accept"
    services = ["nd"]
  }

  rule "ping" {
    action   = "accept"
    services = ["icmp/echo-request", "icmpv6/echo-request"]
  }

  rule "web" {
    action      = "accept"
    destination = ["192.168.0.2", "fd00:192:168::2"]
    services    = [service.web]
  }

  rule "bulk" {
    action   = "accept"
    services = ["tcp/5201"]
  }

  rule "no-telnet" {
    action   = "drop"
    services = ["tcp/8023"]
  }

  rule "echo" {
    action   = "accept"
    services = ["udp/7000"]
  }

  rule "sink" {
    action   = "accept"
    services = ["udp/7002"]
  }

  rule "no-syslog" {
    action   = "drop"
    services = ["udp/7001"]
  }
}

# globex may do less: no web, no ping over IPv4, no UDP over IPv6.
tenant "globex" {
  context_ids    = [200]
  default_action = "drop"

  rule "no-web" {
    action   = "drop"
    services = [service.web]
  }

  rule "no-ping" {
    action   = "drop"
    services = ["icmp/echo-request"]
  }

  rule "echo" {
    action   = "accept"
    source   = ["192.168.0.1"]
    services = ["udp/7000"]
  }
}
