# Later fragments of inner packets: which rules are asked about them.

settings {
  endpoints = ["10.47.0.0/16"]
}

before_tenants {
  rule "no-esp-in-pieces" {
    action   = "drop"
    fragment = ["first", "later"]
    services = ["protocol/50"]
  }
}

tenant "t" {
  context_ids    = [1]
  default_action = "accept"

  rule "plain" {
    action   = "accept"
    services = ["udp"]
  }
  rule "storage" {
    action      = "accept"
    destination = ["10.0.0.2"]
    fragment    = ["later"]
    services    = ["tcp"]
    state       = "stateless"
  }
  rule "whole-only" {
    action   = "drop"
    fragment = ["first", "later"]
    services = ["protocol/47"]
  }
}

tenant "careful" {
  context_ids = [2]
  mode        = "audit"
}

test "a rule without fragment is not asked" {
  context_id = 1
  packet     = "udp 10.0.0.1:1 > 10.0.0.2:2 frag later"
  expect     = "drop"
  rule       = "default"
  reason     = "fragment_first_missing"
}
test "a rule that names later fragments is" {
  context_id = 1
  packet     = "tcp 10.0.0.1:1 > 10.0.0.2:2 frag later"
  expect     = "accept"
  rule       = "t/storage"
}
test "if its other conditions hold" {
  context_id = 1
  packet     = "tcp 10.0.0.1:1 > 10.0.0.3:2 frag later"
  expect     = "drop"
  reason     = "fragment_first_missing"
}
test "it may drop" {
  context_id = 1
  packet     = "protocol 47 10.0.0.1 > 10.0.0.2 len 96 frag later"
  expect     = "drop"
  rule       = "t/whole-only"
  reason     = "rule_drop"
}
test "and first fragments with them" {
  context_id = 1
  packet     = "protocol 47 10.0.0.1 > 10.0.0.2 len 96 frag first"
  expect     = "drop"
  rule       = "t/whole-only"
}
test "rules for all tenants go first" {
  context_id = 1
  packet     = "protocol 50 10.0.0.1 > 10.0.0.2 len 96 frag later"
  expect     = "drop"
  rule       = "before_tenants/no-esp-in-pieces"
}
test "audit mode lets the fragment pass" {
  context_id = 2
  packet     = "udp [2001:db8::1]:1 > [2001:db8::2]:2 frag later"
  expect     = "accept"
  reason     = "fragment_first_missing"
}
test "a later fragment follows its first one" {
  context_id = 1
  step {
    packet = "udp 10.0.0.1:1 > 10.0.0.2:2 frag first id 7"
    expect = "accept"
    rule   = "t/plain"
  }
  step {
    packet = "udp 10.0.0.1:1 > 10.0.0.2:2 frag later id 7"
    expect = "accept"
    rule   = "t/plain"
  }
  step {
    packet = "udp 10.0.0.1:1 > 10.0.0.2:2 frag later id 8"
    expect = "drop"
    reason = "fragment_first_missing"
  }
  step {
    packet = "udp 10.0.0.1:1 > 10.0.0.2:2 frag later id 7"
    after  = "31s"
    expect = "drop"
    reason = "fragment_first_missing"
  }
}
test "also one that only the default accepts" {
  context_id = 1
  step {
    packet = "protocol 89 10.0.0.1 > 10.0.0.2 len 96 frag first id 7"
    expect = "accept"
    rule   = "default"
  }
  step {
    packet = "protocol 89 10.0.0.1 > 10.0.0.2 len 96 frag later id 7"
    expect = "accept"
    rule   = "default"
  }
}
