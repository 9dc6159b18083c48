# Whose a frame is, where it may come from, audit mode, and everybody's rules.

settings {
  endpoints      = ["10.47.0.0/16"]
  default_action = "drop"
}

before_tenants {
  rule "no-telnet" {
    action   = "drop"
    services = ["tcp/23"]
  }
  rule "monitoring" {
    action   = "accept"
    source   = ["10.255.0.1"]
    services = ["udp/161"]
  }
}

after_tenants {
  rule "ntp" {
    action   = "accept"
    services = ["udp/123"]
  }
}

tenant "acme" {
  context_ids = [100, "0x1000-0x1fff"]
  endpoints   = ["10.47.1.0/24"]
  rule "web" {
    action   = "accept"
    services = ["tcp/80"]
  }
  rule "no-ntp" {
    action      = "drop"
    destination = ["10.0.0.9"]
    services    = ["udp/123"]
  }
}

tenant "inner" {
  context_ids        = ["0x1800-0x18ff"]
  default_action     = "accept"
  neighbor_discovery = "rules"
  rule "no-arp" {
    action   = "drop"
    services = ["arp"]
  }
}

tenant "trial" {
  context_ids = [200]
  endpoints   = ["10.47.2.0/24"]
  mode        = "audit"
  rule "web" {
    action   = "accept"
    services = ["tcp/80"]
  }
  rule "no-smb" {
    action   = "drop"
    services = ["tcp/445"]
    mode     = "enforce"
  }
}

tenant "cautious" {
  context_ids = [300]
  rule "no-dns" {
    action   = "reject"
    services = ["udp/53"]
    mode     = "audit"
  }
  rule "all" {
    action = "accept"
  }
}

tenant "cloud" {
  context_layout = "ovn"
  datapaths      = [7, "12-13"]
  rule "from-router" {
    action       = "accept"
    datapath     = [7]
    ingress_port = [1]
    services     = ["tcp/80"]
  }
  rule "to-three" {
    action      = "accept"
    egress_port = ["3-4"]
  }
}

tenant "exception" {
  context_ids    = ["0x10002000007"]
  default_action = "accept"
}

test "a frame of the tenant from one of its endpoints" {
  context_id = 100
  packet     = "tcp 10.0.0.1:1 > 10.0.0.2:80 syn from 10.47.1.9"
  expect     = "accept"
  rule       = "acme/web"
}

test "where no endpoint is named, an answer comes from where the question went" {
  context_id = 100
  step {
    packet = "tcp 10.9.9.9:40000 > 10.1.0.10:80 syn seq 100"
    expect = "accept"
  }
  step {
    packet = "tcp 10.1.0.10:80 > 10.9.9.9:40000 syn,ack seq 200 ack-number 101"
    expect = "accept"
  }
}

test "and from a stolen hypervisor" {
  context_id = 100
  packet     = "tcp 10.0.0.1:1 > 10.0.0.2:80 syn from 10.47.2.9"
  expect     = "drop"
  reason     = "tenant_endpoint"
}
test "the platform has the first word" {
  context_id = "0x1801"
  packet     = "tcp 10.0.0.1:1 > 10.0.0.2:23 syn"
  expect     = "drop"
  rule       = "before_tenants/no-telnet"
}
test "also where it accepts" {
  context_id = 100
  packet     = "udp 10.255.0.1:1 > 10.0.0.2:161"
  expect     = "accept"
  rule       = "before_tenants/monitoring"
}
test "and the last one" {
  context_id = 100
  packet     = "udp 10.0.0.1:1 > 10.0.0.2:123"
  expect     = "accept"
  rule       = "after_tenants/ntp"
}
test "after the tenant" {
  context_id = 100
  packet     = "udp 10.0.0.1:1 > 10.0.0.9:123"
  expect     = "drop"
  rule       = "acme/no-ntp"
}
test "the more specific claim wins" {
  context_id = "0x1800"
  packet     = "udp 10.0.0.1:1 > 10.0.0.2:9"
  expect     = "accept"
  rule       = "default"
}
test "and ends" {
  context_id = "0x1900"
  packet     = "udp 10.0.0.1:1 > 10.0.0.2:9"
  expect     = "drop"
  reason     = "tenant_default"
}
test "nobody's" {
  context_id = 999
  packet     = "udp 10.0.0.1:1 > 10.0.0.2:9"
  expect     = "drop"
  reason     = "context_unknown"
}
test "neighbour discovery passes" {
  context_id = 100
  packet     = "arp request 10.0.0.1 > 10.0.0.2"
  expect     = "accept"
  rule       = "default"
}
test "of IPv6 too" {
  context_id = 100
  packet     = "icmpv6 fe80::1 > ff02::1 nd-neighbor-solicit len 16"
  expect     = "accept"
}
test "unless the rules decide" {
  context_id = "0x1800"
  packet     = "arp request 10.0.0.1 > 10.0.0.2"
  expect     = "drop"
  rule       = "inner/no-arp"
}
test "audit: what would be dropped passes" {
  context_id = 200
  packet     = "tcp 10.0.0.1:1 > 10.0.0.2:25 syn"
  expect     = "accept"
  reason     = "tenant_default"
}
test "also TCP from the middle" {
  context_id = 200
  packet     = "tcp 10.0.0.1:1 > 10.0.0.2:80 ack"
  expect     = "accept"
  reason     = "state_invalid"
}
test "and from elsewhere" {
  context_id = 200
  packet     = "tcp 10.0.0.1:1 > 10.0.0.2:80 syn from 10.47.9.9"
  expect     = "accept"
  reason     = "tenant_endpoint"
}
test "but for a rule that is enforced" {
  context_id = 200
  packet     = "tcp 10.0.0.1:1 > 10.0.0.2:445 syn"
  expect     = "drop"
  rule       = "trial/no-smb"
}
test "before_tenants follows the tenant's mode" {
  context_id = 200
  packet     = "tcp 10.0.0.1:1 > 10.0.0.2:23 syn"
  expect     = "accept"
  rule       = "before_tenants/no-telnet"
}
test "a rule in audit mode" {
  context_id = 300
  packet     = "udp 10.0.0.1:1 > 10.0.0.2:53"
  expect     = "accept"
  rule       = "cautious/no-dns"
  reason     = "rule_reject"
}
test "OVN: a datapath and an ingress port" {
  context_id = "0x10002000007"
  packet     = "tcp 10.0.0.1:1 > 10.0.0.2:80 syn"
  expect     = "accept"
  rule       = "default"
}
test "OVN: ports of the context ID" {
  context_id = "0x10001000007"
  packet     = "tcp 10.0.0.1:1 > 10.0.0.2:80 syn"
  expect     = "accept"
  rule       = "cloud/from-router"
}
test "OVN: another ingress port" {
  context_id = "0x20001000007"
  packet     = "tcp 10.0.0.1:1 > 10.0.0.2:80 syn"
  expect     = "drop"
  reason     = "tenant_default"
}
test "OVN: another datapath" {
  context_id = "0x1000100000d"
  packet     = "tcp 10.0.0.1:1 > 10.0.0.2:80 syn"
  expect     = "drop"
}
test "OVN: an egress port" {
  context_id = "0x2000400000d"
  packet     = "tcp 10.0.0.1:1 > 10.0.0.2:9 syn"
  expect     = "accept"
  rule       = "cloud/to-three"
}
test "OVN: a reply comes with other ports and another datapath" {
  context_id = "0x10001000007"
  step {
    packet = "tcp 10.0.0.1:1 > 10.0.0.2:80 syn seq 1 win 1000 from 10.47.0.1 to 10.47.0.2"
    expect = "accept"
  }
  step {
    context_id = "0x5000900000c"
    packet     = "tcp 10.0.0.2:80 > 10.0.0.1:1 syn,ack seq 9 ack-number 2 win 1000 from 10.47.0.2 to 10.47.0.1"
    expect     = "accept"
    rule       = "cloud/from-router"
  }
}
test "OVN: bits that are never set" {
  context_id = "0x8000010001000007"
  packet     = "tcp 10.0.0.1:1 > 10.0.0.2:80 syn"
  expect     = "drop"
  reason     = "context_reserved"
}
test "OVN: the lowest of them" {
  context_id = "0x80010001000007"
  packet     = "tcp 10.0.0.1:1 > 10.0.0.2:80 syn"
  expect     = "drop"
  reason     = "context_reserved"
}
