# Flows: what belongs to one that was accepted passes.

settings {
  endpoints = ["10.47.0.0/16"]
}

tenant "acme" {
  context_ids = [100]

  rule "web" {
    action      = "accept"
    destination = ["10.1.0.10"]
    services    = ["tcp/443"]
  }
  rule "dns" {
    action   = "accept"
    services = ["dns"]
  }
  rule "ping" {
    action   = "accept"
    source   = ["10.9.0.0/16"]
    services = ["icmp/echo-request"]
  }
  rule "sync" {
    action   = "accept"
    services = ["tcp/7000"]
    state    = "stateless"
  }
}

tenant "old" {
  context_ids = [200]
  tcp_loose   = true
  rule "all" {
    action = "accept"
  }
}

tenant "open" {
  context_ids    = [300]
  default_action = "accept"
}

tenant "gateways" {
  context_ids = [400]
  pairing     = "tenant"
  rule "all" {
    action = "accept"
  }
}

test "a TCP flow, and what is not of it" {
  context_id = 100
  step {
    packet = "tcp 10.9.9.9:40000 > 10.1.0.10:443 syn seq 1000 win 64240 mss 1460 wscale 7 from 10.47.0.1 to 10.47.0.2"
    expect = "accept"
    rule   = "acme/web"
  }
  step {
    packet = "tcp 10.1.0.10:443 > 10.9.9.9:40000 syn,ack seq 5000 ack-number 1001 win 65160 mss 1460 wscale 7 from 10.47.0.2 to 10.47.0.1"
    expect = "accept"
    rule   = "acme/web"
  }
  step {
    packet = "tcp 10.9.9.9:40000 > 10.1.0.10:443 ack seq 1001 ack-number 5001 win 502 from 10.47.0.1 to 10.47.0.2"
    expect = "accept"
  }
  step {
    packet = "tcp 10.1.0.10:443 > 10.9.9.9:40000 ack seq 5001 ack-number 1001 win 509 len 1400 from 10.47.0.2 to 10.47.0.1"
    expect = "accept"
  }
  step {
    packet = "icmp 10.1.0.1 > 10.1.0.10 destination-unreachable/frag-needed about (tcp 10.1.0.10:443 > 10.9.9.9:40000 ack seq 5001 ack-number 1001 len 1400) from 10.47.0.1 to 10.47.0.2"
    expect = "accept"
    rule   = "acme/web"
  }
  step {
    packet = "icmp 10.1.0.1 > 10.1.0.10 destination-unreachable/frag-needed about (tcp 10.1.0.10:443 > 10.9.9.9:40001 ack seq 5001 ack-number 1001 len 1400) from 10.47.0.1 to 10.47.0.2"
    expect = "drop"
    reason = "tenant_default"
  }
  step {
    packet = "tcp 10.9.9.9:40000 > 10.1.0.10:443 rst seq 1777 from 10.47.0.1 to 10.47.0.2"
    expect = "drop"
    reason = "tcp_reset"
  }
  step {
    packet = "tcp 10.9.9.9:40000 > 10.1.0.10:443 syn seq 1777 from 10.47.0.1 to 10.47.0.2"
    expect = "drop"
    reason = "tcp_syn"
  }
  step {
    packet = "tcp 10.9.9.9:40000 > 10.1.0.10:443 ack seq 900000 ack-number 5001 win 502 from 10.47.0.1 to 10.47.0.2"
    expect = "drop"
    reason = "tcp_window"
  }
  step {
    packet = "tcp 10.1.0.10:443 > 10.9.9.9:40000 rst seq 6401 from 10.47.0.66 to 10.47.0.1"
    expect = "drop"
    reason = "flow_endpoint"
  }
  step {
    packet = "tcp 10.9.9.9:40000 > 10.1.0.10:443 ack seq 1001 ack-number 6401 win 502 from 10.47.0.1 to 10.47.0.2"
    expect = "accept"
    after  = "23h"
  }
  step {
    packet = "tcp 10.9.9.9:40000 > 10.1.0.10:443 ack seq 1001 ack-number 6401 win 502 from 10.47.0.1 to 10.47.0.2"
    expect = "drop"
    reason = "state_invalid"
    after  = "25h"
  }
}

test "TCP that starts in the middle" {
  context_id = 100
  packet     = "tcp 10.9.9.9:40000 > 10.1.0.10:443 ack"
  expect     = "drop"
  reason     = "state_invalid"
}

test "TCP that starts in the middle of a stateless rule" {
  context_id = 100
  packet     = "tcp 10.9.9.9:40000 > 10.1.0.10:7000 ack"
  expect     = "accept"
  rule       = "acme/sync"
}

test "a stateless rule lets no reply in" {
  context_id = 100
  step {
    packet = "tcp 10.9.9.9:40000 > 10.1.0.10:7000 syn"
    expect = "accept"
  }
  step {
    packet = "tcp 10.1.0.10:7000 > 10.9.9.9:40000 syn,ack"
    expect = "drop"
    reason = "tenant_default"
  }
}

test "a denied packet in the middle is denied by the rules" {
  context_id = 100
  packet     = "tcp 10.9.9.9:40000 > 10.1.0.10:25 ack"
  expect     = "drop"
  reason     = "tenant_default"
}

test "a question, its answer, and an answer to nothing" {
  context_id = 100
  step {
    packet = "udp 10.9.9.9:5000 > 10.1.0.53:53 from 10.47.0.1 to 10.47.0.2"
    expect = "accept"
    rule   = "acme/dns"
  }
  step {
    packet = "udp 10.1.0.53:53 > 10.9.9.9:5000 from 10.47.0.2 to 10.47.0.1"
    expect = "accept"
    rule   = "acme/dns"
  }
  step {
    packet = "udp 10.1.0.53:53 > 10.9.9.9:5001 from 10.47.0.2 to 10.47.0.1"
    expect = "drop"
    reason = "tenant_default"
  }
  step {
    packet = "udp 10.1.0.53:53 > 10.9.9.9:5000 from 10.47.0.2 to 10.47.0.1"
    expect = "drop"
    reason = "tenant_default"
    after  = "3m"
  }
}

test "a ping" {
  context_id = 100
  step {
    packet = "icmp 10.9.9.9 > 10.1.0.10 echo-request id 7 from 10.47.0.1 to 10.47.0.2"
    expect = "accept"
  }
  step {
    packet = "icmp 10.1.0.10 > 10.9.9.9 echo-reply id 7 from 10.47.0.2 to 10.47.0.1"
    expect = "accept"
  }
  step {
    packet = "icmp 10.1.0.10 > 10.9.9.9 echo-reply id 8 from 10.47.0.2 to 10.47.0.1"
    expect = "drop"
  }
  step {
    packet = "icmp 10.1.0.10 > 10.9.9.9 echo-request id 7 from 10.47.0.2 to 10.47.0.1"
    expect = "drop"
  }
}

test "loose: TCP may start in the middle, and then stays in its windows" {
  context_id = 200
  step {
    packet = "tcp 10.9.9.9:40000 > 10.1.0.10:443 ack seq 1001 ack-number 5001 len 100 win 500 from 10.47.0.1 to 10.47.0.2"
    expect = "accept"
  }
  step {
    packet = "tcp 10.1.0.10:443 > 10.9.9.9:40000 ack seq 5001 ack-number 1101 win 500 from 10.47.0.2 to 10.47.0.1"
    expect = "accept"
  }
  step {
    packet = "tcp 10.1.0.10:443 > 10.9.9.9:40000 rst seq 9999 from 10.47.0.2 to 10.47.0.1"
    expect = "drop"
  }
}

test "what the default accepts needs no flow" {
  context_id = 300
  step {
    packet = "tcp 10.9.9.9:40000 > 10.1.0.10:443 ack"
    expect = "accept"
    rule   = "default"
  }
  step {
    packet = "tcp 10.1.0.10:443 > 10.9.9.9:40000 rst"
    expect = "accept"
  }
}

test "several gateways carry a flow" {
  context_id = 400
  step {
    packet = "udp 10.9.9.9:5000 > 10.1.0.53:53 from 10.47.0.1 to 10.47.0.2"
    expect = "accept"
  }
  step {
    packet = "udp 10.1.0.53:53 > 10.9.9.9:5000 from 10.47.0.3 to 10.47.0.1"
    expect = "accept"
  }
}
