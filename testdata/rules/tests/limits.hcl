# Bounds on what a tenant may hold.

settings {
  endpoints = ["any"]
  timeouts {
    udp = "10s"
  }
}

tenant "small" {
  context_ids = [1]
  limits {
    flows            = 4
    flows_per_source = 2
    half_open        = 1
  }
  rule "all" {
    action = "accept"
  }
}

test "too many flows" {
  context_id = 1
  step {
    packet = "udp 10.0.0.1:1 > 10.0.0.9:9"
    expect = "accept"
  }
  step {
    packet = "udp 10.0.0.1:2 > 10.0.0.9:9"
    expect = "accept"
  }
  step {
    packet = "udp 10.0.0.1:3 > 10.0.0.9:9"
    expect = "drop"
    reason = "source_flows"
  }
  step {
    packet = "tcp 10.0.0.2:1 > 10.0.0.9:9 syn"
    expect = "accept"
  }
  step {
    packet = "tcp 10.0.0.3:1 > 10.0.0.9:9 syn"
    expect = "drop"
    reason = "half_open_limit"
  }
  step {
    packet = "udp 10.0.0.3:1 > 10.0.0.9:9"
    expect = "accept"
  }
  step {
    packet = "udp 10.0.0.4:1 > 10.0.0.9:9"
    expect = "drop"
    reason = "tenant_flows"
  }
  step {
    packet = "udp 10.0.0.1:1 > 10.0.0.9:9"
    expect = "accept"
  }
  step {
    packet = "udp 10.0.0.1:3 > 10.0.0.9:9"
    expect = "accept"
    after  = "11s"
  }
}

tenant "rationed" {
  context_ids = [2]
  rule "one" {
    action   = "accept"
    services = ["tcp/1"]
    limit {
      rate  = "1/h"
      burst = 1
      over  = "drop"
    }
  }
  rule "one-packet" {
    action   = "accept"
    services = ["tcp/2"]
    state    = "stateless"
    limit {
      rate  = "1/h"
      burst = 1
      over  = "drop"
    }
  }
}

test "what begins no flow takes no token of a rule that counts flows" {
  context_id = 2
  step {
    packet = "tcp 10.0.0.1:9 > 10.0.0.2:1 ack"
    expect = "drop"
    reason = "state_invalid"
  }
  step {
    packet = "tcp 10.0.0.1:9 > 10.0.0.2:1 syn"
    expect = "accept"
  }
  step {
    packet = "tcp 10.0.0.1:8 > 10.0.0.2:1 syn"
    expect = "drop"
    reason = "rate_limit"
  }
}

test "it takes one of a rule that counts packets" {
  context_id = 2
  step {
    packet = "tcp 10.0.0.1:9 > 10.0.0.2:2 ack"
    expect = "accept"
  }
  step {
    packet = "tcp 10.0.0.1:9 > 10.0.0.2:2 syn"
    expect = "drop"
    reason = "rate_limit"
  }
}
