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
