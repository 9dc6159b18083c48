# The rules of the demo: two tenants with the same addresses on both sides
# (192.168.0.1 and .2, fd00:192:168::1 and ::2), told apart by their Context
# IDs. There is no state in this version, so replies have rules of their own.

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

service "web-replies" {
  protocol     = "tcp"
  source_ports = [8080]
}

service "bulk-replies" {
  protocol     = "tcp"
  source_ports = [5201]
}

service "echo-replies" {
  protocol     = "udp"
  source_ports = [7000]
}

tenant "acme" {
  context_ids    = [100]
  default_action = "drop"

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
    services = ["icmp/echo-request", "icmp/echo-reply", "icmpv6/echo-request", "icmpv6/echo-reply"]
  }

  rule "web" {
    action      = "accept"
    destination = ["192.168.0.2", "fd00:192:168::2"]
    services    = [service.web]
  }

  rule "web-replies" {
    action   = "accept"
    source   = ["192.168.0.2", "fd00:192:168::2"]
    services = [service.web-replies]
  }

  rule "bulk" {
    action   = "accept"
    services = ["tcp/5201"]
  }

  rule "bulk-replies" {
    action   = "accept"
    services = [service.bulk-replies]
  }

  rule "no-telnet" {
    action   = "drop"
    services = ["tcp/8023"]
  }

  rule "echo" {
    action   = "accept"
    services = ["udp/7000"]
  }

  rule "echo-replies" {
    action   = "accept"
    services = [service.echo-replies]
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

  rule "arp" {
    action   = "accept"
    services = ["arp"]
  }

  rule "neighbours" {
    action   = "accept"
    services = ["nd"]
  }

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

  rule "echo-replies" {
    action   = "accept"
    source   = ["192.168.0.2"]
    services = [service.echo-replies]
  }
}
