# Rules for sttwall: a company with a web, an application and a database tier,
# and a second tenant that is only watched yet. Start from here: put in your own
# tunnel endpoints, context IDs and addresses, then
#
#   sttwall check rules.hcl                      # is it right? runs the tests below
#   sttwall explain --rules rules.hcl --context 100 'tcp 10.1.9.9:40000 > 10.1.0.10:443 syn'
#   sttwall replay --rules rules.hcl tunnel.pcap # what would it do to this capture?
#
# How it is read: the context ID of a frame names its tenant. The tenant's rules
# are tried from top to bottom, and the first that matches decides. If none does,
# the tenant's default_action decides. Rules are about the first packet of a flow:
# its replies pass by themselves, and so do ARP and neighbour discovery.
#
# docs/rules.md is the reference.

settings {
  # Outer addresses of your tunnel endpoints (hypervisors, gateways). Nobody else
  # may send STT through this firewall. ["any"] lets everybody.
  # "10.48.0.0/16 on eth1" must also come in on that interface.
  endpoints = ["10.47.0.0/16", "2001:db8:47::/64"]

  # Other tunnels between two endpoints (VXLAN, GRE, IPsec and more) are dropped;
  # "pass" lets them be. only_stt = true drops all but STT and what it lives by
  # there, ping too. See docs/table.md.
  other_tunnels = "drop"

  # Destination ports that are STT. Leave this out if yours is the usual one.
  stt_ports = [7471]

  # "any" protects Linux and Windows endpoints; "linux" is enough where all of
  # them run the Linux datapath of Open vSwitch.
  receivers = "any"

  # "rebuild" encodes everything that passes anew, with frame IDs of the firewall's
  # own. It copies each packet, so it costs; see docs/receivers.md.
  forward = "canonical"

  # For context IDs that no tenant claims, and for tenants without a default.
  default_action = "drop"

  # How many flows are remembered, and for how long an idle TCP connection is.
  flows = 500000
  timeouts {
    tcp_established = "2d"
  }
}

# Names for addresses: CIDRs, single addresses, ranges, other groups.
address_group "web" {
  addresses = ["10.1.0.10-10.1.0.19", "2001:db8:1::/120"]
}

address_group "app" {
  # Lists can be computed: 10.1.8.0/26, 10.1.8.64/26, ...
  addresses = [for n in range(0, 256, 64) : format("10.1.8.%d/26", n)]
}

address_group "databases" {
  addresses = ["10.1.16.5", "10.1.16.6"]
}

address_group "servers" {
  addresses = [address_group.web, address_group.app, address_group.databases]
}

# Names for services. ports are destination ports.
service "https" {
  protocol = "tcp"
  ports    = [443, "8443-8450"]
}

service "postgres" {
  protocol = "tcp"
  ports    = [5432]
}

service "ping" {
  services = ["icmp/echo-request", "icmpv6/echo-request"]
}

# ------------------------------------------------- the platform's first word
# These rules come before those of every tenant.

before_tenants {
  rule "no-telnet" {
    action   = "drop"
    services = ["tcp/23"]
    log      = true
  }
}

# ---------------------------------------------------------------- tenant acme
# A network of servers. Its inner addresses are 10.1.0.0/16 and 2001:db8:1::/48.

tenant "acme" {
  # One ID, a range, or a prefix of the 64 bits. Hexadecimal goes in quotes.
  context_ids = [100, "0x1000-0x1fff", "0xab00000000000000/8"]

  # The hypervisors that run acme's machines. A frame with one of its context IDs
  # from anywhere else is dropped: a stolen hypervisor cannot speak for acme.
  endpoints = ["10.47.0.0/20", "2001:db8:47::/64"]

  default_action = "drop"

  limits {
    flows            = 200000
    flows_per_source = 5000
    half_open        = 2000
  }

  # Inner addresses come from the hypervisor that they were first seen on, until they
  # migrate; the router's is on all of them. Nobody but 10.47.0.16 may speak for the
  # databases, whatever it announces.
  anti_spoof {
    within = ["10.1.0.0/16", "!10.1.0.1", "2001:db8:1::/48"]

    binding "databases" {
      endpoints = ["10.47.0.16"]
      addresses = [address_group.databases]
    }
  }

  # The guests' network is not to reach anything but the web, so this stands
  # before the rules that accept.
  rule "guests-stay-out" {
    action      = "drop"
    source      = ["10.1.200.0/24"]
    destination = [address_group.servers, !address_group.web]
    log         = true
  }

  rule "web" {
    action      = "accept"
    destination = [address_group.web]
    services    = [service.https, "tcp/80"]
    # The path to some customers has a small MTU.
    set {
      mss_max = 1360
    }
  }

  rule "web-to-app" {
    action      = "accept"
    source      = [address_group.web]
    destination = [address_group.app]
    services    = ["tcp/9000-9009"]
  }

  rule "app-to-database" {
    action      = "accept"
    source      = [address_group.app]
    destination = [address_group.databases]
    services    = [service.postgres]
  }

  # Everybody else is told so at once, instead of waiting.
  rule "database" {
    action      = "reject"
    destination = [address_group.databases]
    services    = [service.postgres]
  }

  # Backups run at night.
  rule "backup" {
    action      = "accept"
    source      = ["10.1.99.1"]
    destination = [address_group.servers]
    services    = ["tcp/22", "tcp/873"]
    time {
      from     = "22:00"
      to       = "05:00"
      timezone = "Europe/Berlin"
    }
  }

  # A ping now and then, but no flood: what is over falls to the default.
  rule "ping" {
    action   = "accept"
    services = [service.ping]
    limit {
      rate  = "50/s"
      burst = 100
    }
  }
}

# -------------------------------------------------------------- tenant globex
# Another customer, on OVN, with the same inner addresses. It is new here: what
# its rules would drop passes, and is counted and logged.

tenant "globex" {
  context_layout = "ovn"
  datapaths      = [7, "12-13"]
  mode           = "audit"

  # A guest's port is on one hypervisor; port 1 is the router's.
  anti_spoof {
    learn                = ["ingress_port"]
    shared_ingress_ports = [1]
  }

  # Not even while it is only watched.
  rule "no-smb" {
    action   = "drop"
    services = ["tcp/445"]
    mode     = "enforce"
  }

  # Port 1 of datapath 7 leads to the router.
  rule "from-the-router" {
    action       = "accept"
    datapath     = [7]
    ingress_port = [1]
    services     = ["tcp/443", "dhcp", "bfd"]
  }

  rule "inside" {
    action      = "accept"
    source      = ["10.1.0.0/16"]
    destination = ["10.1.0.0/16"]
    services    = ["any"]
  }
}

# OVN's gateways watch each other with BFD through the tunnel, outside of every
# logical network. If it is dropped they take each other for dead.
tenant "ovn-gateways" {
  context_ids = [0]

  rule "bfd" {
    action   = "accept"
    services = ["bfd"]
  }
}

# ------------------------------------------------------ and its last word
# For what no rule of the tenant has matched.

after_tenants {
  rule "resolvers" {
    action      = "accept"
    destination = ["10.255.0.53"]
    services    = ["dns"]
  }
}

# ----------------------------------------------------------------------- tests
# `sttwall check` sends these packets through the rules above.

test "customers reach the web, and its answers come back" {
  context_id = 100
  step {
    packet = "tcp 203.0.113.9:40000 > 10.1.0.10:443 syn seq 1000 mss 1460 from 10.47.0.1 to 10.47.0.2"
    expect = "accept"
    rule   = "acme/web"
  }
  step {
    packet = "tcp 10.1.0.10:443 > 203.0.113.9:40000 syn,ack seq 5000 ack-number 1001 mss 1460 from 10.47.0.2 to 10.47.0.1"
    expect = "accept"
    rule   = "acme/web"
  }
  step {
    packet = "tcp 10.1.0.10:443 > 203.0.113.9:40001 ack seq 5001 ack-number 1001 from 10.47.0.2 to 10.47.0.1"
    expect = "drop"
  }
}

test "the application reaches its database" {
  context_id = 100
  packet     = "tcp 10.1.8.130:40000 > 10.1.16.5:5432 syn"
  expect     = "accept"
  rule       = "acme/app-to-database"
}

test "the web does not" {
  context_id = 100
  packet     = "tcp 10.1.0.10:40000 > 10.1.16.5:5432 syn"
  expect     = "reject"
  rule       = "acme/database"
}

test "guests do not reach the application" {
  context_id = 100
  packet     = "tcp 10.1.200.7:40000 > 10.1.8.1:9000 syn"
  expect     = "drop"
  rule       = "acme/guests-stay-out"
}

test "guests reach the web" {
  context_id = 100
  packet     = "tcp 10.1.200.7:40000 > 10.1.0.19:80 syn"
  expect     = "accept"
}

test "a backup at night" {
  context_id = 100
  at         = "2026-01-06T01:30:00Z"
  packet     = "tcp 10.1.99.1:40000 > 10.1.16.5:873 syn"
  expect     = "accept"
  rule       = "acme/backup"
}

test "no backup by day" {
  context_id = 100
  at         = "2026-01-06T12:00:00Z"
  packet     = "tcp 10.1.99.1:40000 > 10.1.16.5:873 syn"
  expect     = "drop"
}

test "a stolen hypervisor cannot speak for acme" {
  context_id = 100
  packet     = "tcp 203.0.113.9:40000 > 10.1.0.10:443 syn from 10.47.99.1"
  expect     = "drop"
  reason     = "tenant_endpoint"
}

test "nor speak for its databases" {
  context_id = 100
  packet     = "arp request 10.1.16.5 > 10.1.16.5 from 10.47.0.7"
  expect     = "drop"
  reason     = "binding_declared"
}

test "a guest migrates, and its connection with it" {
  context_id = 100
  step {
    packet = "tcp 10.1.8.1:40000 > 10.1.16.5:5432 syn seq 1000 from 10.47.0.3 to 10.47.0.16"
    expect = "accept"
  }
  step {
    packet = "tcp 10.1.16.5:5432 > 10.1.8.1:40000 syn,ack seq 5000 ack-number 1001 from 10.47.0.16 to 10.47.0.3"
    expect = "accept"
  }
  step {
    packet = "arp request 10.1.8.1 > 10.1.8.1 from 10.47.0.4"
    expect = "accept"
  }
  step {
    packet = "tcp 10.1.8.1:40000 > 10.1.16.5:5432 ack seq 1001 ack-number 5001 from 10.47.0.4 to 10.47.0.16"
    expect = "accept"
    rule   = "acme/app-to-database"
  }
  step {
    packet = "tcp 10.1.8.1:40000 > 10.1.16.5:5432 ack seq 1001 ack-number 5001 from 10.47.0.3 to 10.47.0.16"
    expect = "drop"
    reason = "binding_learned"
  }
}

test "telnet is nobody's" {
  context_id = "0x1234"
  packet     = "tcp 10.1.0.10:40000 > 10.1.8.1:23 syn"
  expect     = "drop"
  rule       = "before_tenants/no-telnet"
}

test "what globex is not allowed passes for now" {
  context_id = "0x20003000007"
  packet     = "udp 192.0.2.1:5000 > 10.1.0.1:9999"
  expect     = "accept"
  reason     = "tenant_default"
}

test "but not SMB" {
  context_id = "0x20003000007"
  packet     = "tcp 192.0.2.1:5000 > 10.1.0.1:445 syn"
  expect     = "drop"
  rule       = "globex/no-smb"
}

test "everybody may ask the resolver" {
  context_id = 100
  packet     = "udp 10.1.8.1:5000 > 10.255.0.53:53"
  expect     = "accept"
  rule       = "after_tenants/resolvers"
}
