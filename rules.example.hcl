# Rules for sttwall. Start from here: put in your own tunnel endpoints, context
# IDs and addresses, then try it with
#
#   sttwall check rules.hcl                      # is it right?
#   sttwall replay --rules rules.hcl tunnel.pcap # what would it do to this capture?
#
# How it is read: the context ID of a frame names its tenant. The tenant's rules
# are tried from top to bottom, and the first that matches decides. If none does,
# the tenant's default_action decides. Source and destination are those of the
# inner packet, and a rule has no direction: what should go both ways needs a rule
# for each way, the way back by its source ports.
#
# docs/rules.md is the reference.

settings {
  # Outer addresses of your tunnel endpoints (hypervisors, gateways). Nobody else
  # may send STT through this firewall. ["any"] lets everybody.
  endpoints = ["10.47.0.0/16", "2001:db8:47::/64"]

  # Destination ports that are STT. Leave this out if yours is the usual one.
  stt_ports = [7471]

  # "any" protects Linux and Windows endpoints; "linux" is enough where all of
  # them run the Linux datapath of Open vSwitch.
  receivers = "any"

  # For context IDs that no tenant claims, and for tenants without a default.
  default_action = "drop"
}

# Names for addresses: CIDRs, single addresses, ranges; IPv4 and IPv6 together.
address_group "web-servers" {
  addresses = ["10.1.0.10-10.1.0.19", "2001:db8:1::10"]
}

address_group "resolvers" {
  addresses = ["10.1.0.53", "10.1.1.53", "2001:db8:1::53"]
}

# Names for services. ports are destination ports.
service "web" {
  protocol = "tcp"
  ports    = [80, 443, "8443-8450"]
}

# The way back has the same ports as source ports.
service "web-replies" {
  protocol     = "tcp"
  source_ports = [80, 443, "8443-8450"]
}

service "dns-replies" {
  protocol     = "udp"
  source_ports = [53]
}

# ---------------------------------------------------------------- tenant acme
# A network of servers. Its inner addresses are 10.1.0.0/16 and 2001:db8:1::/48.

tenant "acme" {
  # One ID, a range, or a prefix of the 64 bits. Hexadecimal goes in quotes.
  context_ids = [100, "0x1000-0x1fff", "0xab00000000000000/8"]

  # ARP and neighbour discovery come first: without them no host finds another.
  # "any" would not do it for ARP, since it means any IP packet.
  rule "neighbours" {
    action   = "accept"
    services = ["arp", "nd"]
  }

  # The guests' network is not to reach anything but the web, so this stands
  # before the rules that accept.
  rule "guests-stay-out" {
    action      = "drop"
    source      = ["10.1.200.0/24"]
    destination = ["10.1.0.0/16", !address_group.web-servers]
    log         = true
  }

  rule "web" {
    action      = "accept"
    destination = [address_group.web-servers]
    services    = [service.web]
  }

  rule "web-replies" {
    action   = "accept"
    source   = [address_group.web-servers]
    services = [service.web-replies]
  }

  rule "dns" {
    action      = "accept"
    source      = ["10.1.0.0/16", "2001:db8:1::/48"]
    destination = [address_group.resolvers]
    services    = ["udp/53", "tcp/53"]
  }

  rule "dns-replies" {
    action   = "accept"
    source   = [address_group.resolvers]
    services = [service.dns-replies]
  }

  # Ping, and the errors without which path MTU discovery fails.
  rule "icmp" {
    action = "accept"
    services = [
      "icmp/echo-request", "icmp/echo-reply", "icmp/destination-unreachable", "icmp/time-exceeded",
      "icmpv6/echo-request", "icmpv6/echo-reply", "icmpv6/packet-too-big",
      "icmpv6/destination-unreachable", "icmpv6/time-exceeded",
    ]
  }

  default_action = "drop"
}

# -------------------------------------------------------------- tenant globex
# Another customer with the same inner addresses. The context IDs keep the two
# apart: no rule of one tenant ever sees a frame of the other.

tenant "globex" {
  context_ids = ["0x2000-0x2fff"]

  rule "neighbours" {
    action   = "accept"
    services = ["arp", "nd"]
  }

  # Here 10.1.0.10 is a database, and only the application hosts may use it.
  rule "database" {
    action      = "accept"
    source      = ["10.1.8.0/24"]
    destination = ["10.1.0.10"]
    services    = ["tcp/5432"]
  }

  rule "database-replies" {
    action      = "accept"
    source      = ["10.1.0.10"]
    destination = ["10.1.8.0/24"]
    services    = [service.postgres-replies]
  }

  # OSPF and BFD between the tenant's virtual routers, and LLDP, which is not IP.
  rule "routers" {
    action   = "accept"
    source   = ["10.1.255.1-10.1.255.4"]
    services = ["protocol/89", "udp/3784"]
  }

  rule "lldp" {
    action   = "accept"
    services = ["ethertype/0x88cc"]
  }

  # No default_action: settings.default_action holds.
}

service "postgres-replies" {
  protocol     = "tcp"
  source_ports = [5432]
}
