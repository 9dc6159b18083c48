# Every condition that a rule can have, met and not met.

settings {
  endpoints = ["10.47.0.0/16"]
}

address_group "servers" {
  addresses = [address_group.web, "10.3.0.0/24"]
}
address_group "web" {
  addresses = ["10.2.0.1", "10.2.0.5-10.2.0.7", "2001:db8::/64"]
}
address_group "blocked" {
  addresses_from = "blocked.txt"
}

service "secure" {
  services = [service.https, "tcp/993", "icmp/echo-request"]
}
service "https" {
  protocol     = "tcp"
  ports        = [443, "8443-8450"]
  source_ports = ["1024-65535"]
}
service "opening" {
  protocol  = "tcp"
  ports     = [22]
  tcp_flags = ["syn", "!ack"]
}

tenant "t" {
  context_ids        = [1]
  neighbor_discovery = "rules"

  rule "blocked" {
    action = "drop"
    source = [address_group.blocked]
  }
  rule "groups" {
    action      = "accept"
    destination = [address_group.servers, !address_group.web]
    services    = [service.secure]
  }
  rule "groups-of-groups" {
    action      = "accept"
    destination = [address_group.servers]
    services    = ["udp/1"]
  }
  rule "mac" {
    action          = "accept"
    source_mac      = ["02:00:00:00:01:00/40", "!02:00:00:00:01:09"]
    destination_mac = ["!multicast"]
    services        = ["udp/2"]
  }
  rule "vlan" {
    action   = "accept"
    vlan     = [10, "100-199", 4000]
    pcp      = ["5-7"]
    services = ["udp/3"]
  }
  rule "untagged" {
    action   = "accept"
    vlan     = ["none"]
    services = ["udp/4"]
  }
  rule "not-urgent" {
    action   = "accept"
    pcp      = ["!6-7"]
    services = ["udp/12"]
  }
  rule "flags" {
    action    = "accept"
    tcp_flags = ["syn", "!ack"]
    services  = ["tcp/5"]
    state     = "stateless"
  }
  rule "service-flags" {
    action   = "accept"
    services = [service.opening]
  }
  rule "arp" {
    action        = "accept"
    arp_operation = ["request"]
    source        = ["10.0.0.0/24"]
  }
  rule "lldp" {
    action    = "accept"
    ethertype = ["0x88cc"]
  }
  rule "only-six" {
    action    = "accept"
    ethertype = ["ipv6"]
    services  = ["udp/6"]
  }
  rule "whole" {
    action   = "accept"
    fragment = ["whole", "first"]
    services = ["protocol/47"]
  }
  rule "outside" {
    action        = "accept"
    from_endpoint = ["10.47.1.0/24"]
    to_endpoint   = ["10.47.2.1"]
    services      = ["udp/7"]
  }
  rule "office-hours" {
    action   = "accept"
    services = ["udp/8"]
    time {
      days     = ["mon-fri"]
      from     = "08:00"
      to       = "18:00"
      timezone = "Europe/Berlin"
    }
    time {
      from       = "23:00"
      to         = "01:00"
      days       = ["sat"]
      not_before = "2026-06-01"
    }
  }
  rule "computed" {
    action   = "accept"
    source   = [for n in range(1, 5) : format("10.5.%d.0/24", n)]
    services = concat(["udp/9"], [for p in [90, 91] : "udp/${p}"])
  }
  rule "dhcp" {
    action   = "accept"
    services = ["dhcp", "bfd", "vrrp"]
  }
  rule "limited" {
    action   = "accept"
    services = ["udp/10"]
    limit {
      rate  = "1/s"
      burst = 2
    }
  }
  rule "limited-else" {
    action   = "accept"
    services = ["udp/10", "udp/11"]
    limit {
      rate = "1/s"
      over = "drop"
    }
  }
  rule "refused" {
    action   = "reject"
    services = ["tcp/113"]
  }
}

test "an address of a file" {
  context_id = 1
  packet     = "udp 10.66.0.9:5000 > 10.3.0.1:1"
  expect     = "drop"
  rule       = "t/blocked"
}
test "another address of the file" {
  context_id = 1
  packet     = "udp [2001:db8:66::1]:5000 > [2001:db8::1]:1"
  expect     = "drop"
  rule       = "t/blocked"
}
test "a group without another" {
  context_id = 1
  packet     = "tcp 10.0.0.1:5000 > 10.3.0.255:8450 syn"
  expect     = "accept"
  rule       = "t/groups"
}
test "what was taken out" {
  context_id = 1
  packet     = "tcp 10.0.0.1:5000 > 10.2.0.6:443 syn"
  expect     = "drop"
  rule       = "default"
}
test "a source port that the service has not" {
  context_id = 1
  packet     = "tcp 10.0.0.1:1023 > 10.3.0.1:443 syn"
  expect     = "drop"
}
test "a service in a group of services" {
  context_id = 1
  packet     = "tcp 10.0.0.1:1023 > 10.3.0.1:993 syn"
  expect     = "accept"
}
test "ICMP in a group of services" {
  context_id = 1
  packet     = "icmp 10.0.0.1 > 10.3.0.1 echo-request"
  expect     = "accept"
}
test "a group in a group" {
  context_id = 1
  packet     = "udp [2001:db8:1::1]:5000 > [2001:db8::1]:1"
  expect     = "accept"
  rule       = "t/groups-of-groups"
}
test "a MAC with a prefix" {
  context_id = 1
  packet     = "udp 10.0.0.1:1 > 10.0.0.2:2 mac 02:00:00:00:01:ff > 02:00:00:00:00:02"
  expect     = "accept"
  rule       = "t/mac"
}
test "the MAC that is not" {
  context_id = 1
  packet     = "udp 10.0.0.1:1 > 10.0.0.2:2 mac 02:00:00:00:01:09 > 02:00:00:00:00:02"
  expect     = "drop"
}
test "to a group of hosts" {
  context_id = 1
  packet     = "udp 10.0.0.1:1 > 10.0.0.2:2 mac 02:00:00:00:01:ff > 03:00:00:00:00:02"
  expect     = "drop"
}
test "a VLAN and its priority" {
  context_id = 1
  packet     = "udp 10.0.0.1:1 > 10.0.0.2:3 vlan 199 pcp 5"
  expect     = "accept"
  rule       = "t/vlan"
}
test "a VLAN of all 12 bits" {
  context_id = 1
  packet     = "udp 10.0.0.1:1 > 10.0.0.2:3 vlan 4000 pcp 5"
  expect     = "accept"
  rule       = "t/vlan"
}
test "another priority" {
  context_id = 1
  packet     = "udp 10.0.0.1:1 > 10.0.0.2:3 vlan 199 pcp 4"
  expect     = "drop"
}
test "the outermost tag counts" {
  context_id = 1
  packet     = "udp 10.0.0.1:1 > 10.0.0.2:3 vlan 9 pcp 5 vlan 10 pcp 5"
  expect     = "drop"
}
test "untagged" {
  context_id = 1
  packet     = "udp 10.0.0.1:1 > 10.0.0.2:4"
  expect     = "accept"
  rule       = "t/untagged"
}
test "tagged" {
  context_id = 1
  packet     = "udp 10.0.0.1:1 > 10.0.0.2:4 vlan 10"
  expect     = "drop"
}
test "a tag without a VLAN" {
  context_id = 1
  packet     = "udp 10.0.0.1:1 > 10.0.0.2:4 vlan 0 pcp 5"
  expect     = "accept"
  rule       = "t/untagged"
}
test "a tag without a VLAN has a priority" {
  context_id = 1
  packet     = "udp 10.0.0.1:1 > 10.0.0.2:12 vlan 0 pcp 6"
  expect     = "drop"
}
test "all the rest of a list of exceptions" {
  context_id = 1
  packet     = "udp 10.0.0.1:1 > 10.0.0.2:12"
  expect     = "accept"
  rule       = "t/not-urgent"
}
test "an exception" {
  context_id = 1
  packet     = "udp 10.0.0.1:1 > 10.0.0.2:12 vlan 5 pcp 6"
  expect     = "drop"
}
test "TCP flags" {
  context_id = 1
  packet     = "tcp 10.0.0.1:1 > 10.0.0.2:5 syn"
  expect     = "accept"
  rule       = "t/flags"
}
test "other TCP flags" {
  context_id = 1
  packet     = "tcp 10.0.0.1:1 > 10.0.0.2:5 syn,ack"
  expect     = "drop"
}
test "TCP flags of a service" {
  context_id = 1
  packet     = "tcp 10.0.0.1:1 > 10.0.0.2:22 syn"
  expect     = "accept"
  rule       = "t/service-flags"
}
test "an ARP request" {
  context_id = 1
  packet     = "arp request 10.0.0.1 > 10.0.0.2"
  expect     = "accept"
  rule       = "t/arp"
}
test "an ARP reply" {
  context_id = 1
  packet     = "arp reply 10.0.0.1 > 10.0.0.2"
  expect     = "drop"
}
test "an ARP request of somebody else" {
  context_id = 1
  packet     = "arp request 10.0.1.1 > 10.0.0.2"
  expect     = "drop"
}
test "an ethertype" {
  context_id = 1
  packet     = "ethertype 0x88cc len 46"
  expect     = "accept"
  rule       = "t/lldp"
}
test "another ethertype" {
  context_id = 1
  packet     = "ethertype 0x88cd len 46"
  expect     = "drop"
}
test "IPv6 alone" {
  context_id = 1
  packet     = "udp [fe80::1]:1 > [fe80::2]:6"
  expect     = "accept"
  rule       = "t/only-six"
}
test "not IPv4" {
  context_id = 1
  packet     = "udp 10.0.0.1:1 > 10.0.0.2:6"
  expect     = "drop"
}
test "a whole packet" {
  context_id = 1
  packet     = "protocol 47 10.0.0.1 > 10.0.0.2 len 100"
  expect     = "accept"
  rule       = "t/whole"
}
test "a first fragment" {
  context_id = 1
  packet     = "protocol 47 10.0.0.1 > 10.0.0.2 len 96 frag first"
  expect     = "accept"
}
test "a later fragment" {
  context_id = 1
  packet     = "protocol 47 10.0.0.1 > 10.0.0.2 len 100 frag later"
  expect     = "drop"
}
test "outer endpoints" {
  context_id = 1
  packet     = "udp 10.0.0.1:1 > 10.0.0.2:7 from 10.47.1.255 to 10.47.2.1"
  expect     = "accept"
  rule       = "t/outside"
}
test "another outer destination" {
  context_id = 1
  packet     = "udp 10.0.0.1:1 > 10.0.0.2:7 from 10.47.1.255 to 10.47.2.2"
  expect     = "drop"
}
test "in summer, 18:00 in Berlin is 16:00 UTC" {
  context_id = 1
  at         = "2026-07-06T15:59:59Z"
  packet     = "udp 10.0.0.1:1 > 10.0.0.2:8"
  expect     = "accept"
  rule       = "t/office-hours"
}
test "a flow ends with its window" {
  context_id = 1
  at         = "2026-07-06T15:59:59Z"
  step {
    packet = "udp 10.0.0.1:1 > 10.0.0.2:8 from 10.47.1.1 to 10.47.1.2"
    expect = "accept"
  }
  step {
    packet = "udp 10.0.0.2:8 > 10.0.0.1:1 from 10.47.1.2 to 10.47.1.1"
    expect = "accept"
  }
  step {
    packet = "udp 10.0.0.2:8 > 10.0.0.1:1 from 10.47.1.2 to 10.47.1.1"
    expect = "drop"
    after  = "1s"
    reason = "tenant_default"
  }
}
test "in winter it is 17:00" {
  context_id = 1
  at         = "2026-01-05T16:59:59Z"
  packet     = "udp 10.0.0.1:1 > 10.0.0.2:8"
  expect     = "accept"
}
test "not on a Saturday" {
  context_id = 1
  at         = "2026-01-10T12:00:00Z"
  packet     = "udp 10.0.0.1:1 > 10.0.0.2:8"
  expect     = "drop"
}
test "a window over midnight belongs to the day before" {
  context_id = 1
  at         = "2026-06-07T00:59:00Z"
  packet     = "udp 10.0.0.1:1 > 10.0.0.2:8"
  expect     = "accept"
}
test "and not to its own" {
  context_id = 1
  at         = "2026-06-06T00:59:00Z"
  packet     = "udp 10.0.0.1:1 > 10.0.0.2:8"
  expect     = "drop"
}
test "nor before its first day" {
  context_id = 1
  at         = "2026-05-30T23:30:00Z"
  packet     = "udp 10.0.0.1:1 > 10.0.0.2:8"
  expect     = "drop"
}
test "computed addresses and services" {
  context_id = 1
  packet     = "udp 10.5.4.9:1 > 10.0.0.2:91"
  expect     = "accept"
  rule       = "t/computed"
}
test "the end of a computed list" {
  context_id = 1
  packet     = "udp 10.5.5.9:1 > 10.0.0.2:91"
  expect     = "drop"
}
test "DHCP from a client" {
  context_id = 1
  packet     = "udp 0.0.0.0:68 > 255.255.255.255:67"
  expect     = "accept"
  rule       = "t/dhcp"
}
test "not from another port" {
  context_id = 1
  packet     = "udp 10.0.0.1:69 > 255.255.255.255:67"
  expect     = "drop"
}
test "BFD" {
  context_id = 1
  packet     = "udp 10.0.0.1:49152 > 10.0.0.2:3784"
  expect     = "accept"
}
test "VRRP" {
  context_id = 1
  packet     = "protocol 112 10.0.0.1 > 224.0.0.18"
  expect     = "accept"
}
test "what is over a limit goes to the next rule, and there is dropped" {
  context_id = 1
  step {
    packet = "udp 10.0.0.1:1 > 10.0.0.2:10"
    expect = "accept"
    rule   = "t/limited"
  }
  step {
    packet = "udp 10.0.0.1:2 > 10.0.0.2:10"
    expect = "accept"
    rule   = "t/limited"
  }
  step {
    packet = "udp 10.0.0.1:3 > 10.0.0.2:10"
    expect = "accept"
    rule   = "t/limited-else"
  }
  step {
    packet = "udp 10.0.0.1:4 > 10.0.0.2:10"
    expect = "drop"
    reason = "rate_limit"
  }
  step {
    packet = "udp 10.0.0.1:1 > 10.0.0.2:10"
    expect = "accept"
    rule   = "t/limited"
  }
  step {
    packet = "udp 10.0.0.1:4 > 10.0.0.2:10"
    expect = "accept"
    rule   = "t/limited"
    after  = "1s"
  }
}
test "reject" {
  context_id = 1
  packet     = "tcp 10.0.0.1:1 > 10.0.0.2:113 syn"
  expect     = "reject"
  rule       = "t/refused"
}
