# Where inner addresses, MACs and OVN ports may come from.

settings {
  endpoints = ["10.47.0.0/16", "2001:db8:47::/64"]
}

tenant "declared" {
  context_ids    = [100]
  default_action = "accept"
  anti_spoof {
    learn = []
    binding "db1" {
      endpoints = ["10.47.1.1"]
      addresses = ["10.1.16.5", "2001:db8:1::5"]
      macs      = ["02:00:00:00:00:05"]
    }
    binding "gateways" {
      endpoints = ["10.47.9.0/30"]
      addresses = ["any", "!10.1.0.0/16", "!2001:db8:1::/48"]
    }
  }
}

tenant "learned" {
  context_ids    = [200]
  default_action = "accept"
  anti_spoof {
    within     = ["10.1.0.0/16", "!10.1.0.1", "2001:db8:1::/48"]
    move_after = "5s"
  }
  rule "no-telnet" {
    action   = "drop"
    services = ["tcp/23"]
  }
}

tenant "ovn" {
  context_layout = "ovn"
  datapaths      = [7, 8, 9]
  default_action = "accept"
  anti_spoof {
    learn                = ["ingress_port", "mac"]
    shared_ingress_ports = [1]
    shared_macs          = ["02:00:00:00:00:01"]
    shared_datapaths     = [9]
    binding "db1" {
      endpoints     = ["10.47.1.1"]
      ingress_ports = [3]
      datapaths     = [7]
    }
  }
}

test "a declared address comes from its endpoint" {
  context_id = 100
  packet     = "udp 10.1.16.5:1 > 10.1.0.9:2 from 10.47.1.1"
  expect     = "accept"
}

test "and from no other" {
  context_id = 100
  packet     = "udp 10.1.16.5:1 > 10.1.0.9:2 from 10.47.1.2"
  expect     = "drop"
  reason     = "binding_declared"
}

test "a test that names no endpoint comes from the declared one" {
  context_id = 100
  packet     = "udp 10.1.16.5:1 > 10.1.0.9:2"
  expect     = "accept"
}

test "a declared MAC is bound whatever it says above" {
  context_id = 100
  packet     = "arp request 10.1.0.7 > 10.1.0.9 mac 02:00:00:00:00:05 > ff:ff:ff:ff:ff:ff from 10.47.1.2"
  expect     = "drop"
  reason     = "binding_declared"
}

test "ARP and neighbour discovery are no way around it, announced or not" {
  context_id = 100
  step {
    packet = "arp reply 10.1.16.5 > 10.1.0.9 from 10.47.1.2"
    expect = "drop"
    reason = "binding_declared"
  }
  step {
    packet = "arp request 10.1.16.5 > 10.1.16.5 from 10.47.1.2"
    expect = "drop"
    reason = "binding_declared"
  }
  step {
    packet = "icmpv6 2001:db8:1::9 > ff02::1 nd-neighbor-advert target 2001:db8:1::5 from 10.47.1.2"
    expect = "drop"
    reason = "binding_declared"
  }
  step {
    packet = "icmpv6 2001:db8:1::9 > ff02::1:ff00:5 nd-neighbor-solicit target 2001:db8:1::5 from 10.47.1.2"
    expect = "accept"
  }
}

test "gateways speak for the outside, and nobody else does" {
  context_id = 100
  step {
    packet = "udp 198.51.100.1:1 > 10.1.0.9:2 from 10.47.9.2"
    expect = "accept"
  }
  step {
    packet = "udp 198.51.100.2:1 > 10.1.0.9:2 from 10.47.1.2"
    expect = "drop"
    reason = "binding_declared"
  }
  step {
    packet = "udp 10.1.16.5:1 > 10.1.0.9:2 from 10.47.9.2"
    expect = "drop"
    reason = "binding_declared"
  }
}

test "a learned address moves when it has been silent" {
  context_id = 200
  step {
    packet = "udp 10.1.0.7:1 > 10.1.0.9:2 from 10.47.1.1 to 10.47.1.3"
    expect = "accept"
  }
  step {
    packet = "udp 10.1.0.7:2 > 10.1.0.9:2 from 10.47.1.2 to 10.47.1.3"
    expect = "drop"
    reason = "binding_learned"
    after  = "4s"
  }
  step {
    packet = "udp 10.1.0.7:1 > 10.1.0.9:2 from 10.47.1.2 to 10.47.1.3"
    expect = "accept"
    after  = "1s"
  }
  step {
    packet = "udp 10.1.0.7:1 > 10.1.0.9:2 from 10.47.1.1 to 10.47.1.3"
    expect = "drop"
    reason = "binding_learned"
    after  = "1s"
  }
}

test "or when it announces itself" {
  context_id = 200
  step {
    packet = "udp [2001:db8:1::7]:1 > [2001:db8:1::9]:2 from 10.47.1.1 to 10.47.1.3"
    expect = "accept"
  }
  step {
    packet = "icmpv6 fe80::7 > ff02::1 nd-neighbor-advert target 2001:db8:1::7 from 10.47.1.2 to 10.47.1.3"
    expect = "accept"
  }
  step {
    packet = "udp [2001:db8:1::7]:1 > [2001:db8:1::9]:2 from 10.47.1.2 to 10.47.1.3"
    expect = "accept"
  }
  step {
    packet = "icmpv6 fe80::7 > fe80::9 nd-neighbor-advert solicited target 2001:db8:1::7 from 10.47.1.1 to 10.47.1.3"
    expect = "drop"
    reason = "binding_learned"
  }
}

test "what is dropped teaches nothing" {
  context_id = 200
  step {
    packet = "tcp 10.1.0.7:1 > 10.1.0.9:23 syn from 10.47.1.2"
    expect = "drop"
    rule   = "learned/no-telnet"
  }
  step {
    packet = "udp 10.1.0.7:1 > 10.1.0.9:2 from 10.47.1.1"
    expect = "accept"
  }
  step {
    packet = "tcp 10.1.0.7:1 > 10.1.0.9:23 syn from 10.47.1.1"
    expect = "drop"
    after  = "4s"
  }
  step {
    packet = "udp 10.1.0.7:2 > 10.1.0.9:2 from 10.47.1.2"
    expect = "accept"
    after  = "1s"
  }
}

test "an address that several routers have is not bound" {
  context_id = 200
  step {
    packet = "arp request 10.1.0.1 > 10.1.0.9 from 10.47.1.1"
    expect = "accept"
  }
  step {
    packet = "arp request 10.1.0.1 > 10.1.0.9 from 10.47.1.2"
    expect = "accept"
  }
}

test "OVN ports" {
  context_id = "0x50009000007"
  step {
    packet = "udp 10.1.0.7:1 > 10.1.0.9:2 from 10.47.1.1"
    expect = "accept"
  }
  step {
    packet = "udp 10.1.0.8:1 > 10.1.0.9:2 from 10.47.1.2"
    expect = "drop"
    reason = "binding_learned"
  }
  step {
    context_id = "0x50009000008"
    packet     = "udp 10.1.0.8:1 > 10.1.0.9:2 from 10.47.1.2"
    expect     = "accept"
  }
  step {
    context_id = "0x30009000007"
    packet     = "udp 10.1.0.8:1 > 10.1.0.9:3 from 10.47.1.2"
    expect     = "drop"
    reason     = "binding_declared"
  }
  step {
    context_id = "0x10009000007"
    packet     = "udp 10.1.0.8:1 > 10.1.0.9:4 from 10.47.1.1"
    expect     = "accept"
  }
  step {
    context_id = "0x10009000007"
    packet     = "udp 10.1.0.8:1 > 10.1.0.9:5 from 10.47.1.2"
    expect     = "accept"
  }
}

test "a router's datapath is everywhere" {
  context_id = "0x50009000009"
  step {
    packet = "udp 10.1.0.7:1 > 10.1.0.9:2 mac 02:00:00:00:00:0a > 02:00:00:00:00:0b from 10.47.1.1"
    expect = "accept"
  }
  step {
    packet = "udp 10.1.0.8:1 > 10.1.0.9:2 mac 02:00:00:00:00:0a > 02:00:00:00:00:0b from 10.47.1.2"
    expect = "accept"
  }
}

test "a learned MAC" {
  context_id = "0x10009000007"
  step {
    packet = "udp 10.1.0.7:1 > 10.1.0.9:2 mac 02:00:00:00:00:0a > 02:00:00:00:00:0b from 10.47.1.1"
    expect = "accept"
  }
  step {
    packet = "udp 10.1.0.8:1 > 10.1.0.9:2 mac 02:00:00:00:00:0a > 02:00:00:00:00:0b from 10.47.1.2"
    expect = "drop"
    reason = "binding_learned"
  }
  step {
    packet = "ethertype 0x8035 len 46 mac 02:00:00:00:00:0a > ff:ff:ff:ff:ff:ff from 10.47.1.2"
    expect = "accept"
  }
  step {
    packet = "udp 10.1.0.8:1 > 10.1.0.9:2 mac 02:00:00:00:00:0a > 02:00:00:00:00:0b from 10.47.1.2"
    expect = "accept"
  }
}
