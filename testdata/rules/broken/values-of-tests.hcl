settings {
  endpoints = ["10.47.0.0/16"]
}

tenant "acme" {
  context_ids = [100]
  rule "web" {
    action   = "accept"
    services = ["tcp/443"]
  }
}

test {
  context_id = 100
}

test "values" {
  context_id = "100/8"
  packet     = "tcp 10.9.9.9:40000 > 10.1.0.10 syn"
  expect     = "pass"
  rule       = "acme/wbe"
  reason     = "tenant_defalt"
  at         = "2026-12-24 08:00"
}

test "other values" {
  context_id = -1
  packet     = 443
  expect     = accept
  rule       = ["acme/web"]
  reason     = 1
  at         = 20261224
}

test "both" {
  context_id = 100
  packet     = "udp 10.0.0.1:1 > 10.0.0.2:2"
  expect     = "drop"
  rule       = "default"
  reason     = "tenant_default"
  step {
    packet     = "upd 10.0.0.1:1 > 10.0.0.2:2"
    expect     = "deny"
    rule       = 7
    reason     = "no_reason"
    context_id = "0xg"
    after      = "soon"
  }
  step "named" {
    packet = "udp 10.0.0.1:1 > 10.0.0.2:2"
  }
}

test "both" {
  context_id = 100
  packet     = "udp 10.0.0.1:1 > 10.0.0.2:2"
  expect     = "drop"
}

test "too late" {
  context_id = 1
  at         = "2300-01-01T00:00:00Z"
  packet     = "udp 10.0.0.1:1 > 10.0.0.2:2"
  expect     = "drop"
}
