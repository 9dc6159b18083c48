settings {
  endpoints = ["10.47.0.1", "10.47.0.2", "10.47.0.3", "10.47.0.4"]
}

address_group "bfd-peers" {
  addresses = ["10.0.0.1", "10.0.0.2"]
}

address_group "ping-peers" {
  addresses = ["10.0.0.1-10.0.0.3"]
}

tenant "context-100" {
  context_ids    = [100]
  default_action = "drop"

  # Seen: 3 sources, 3 destinations.
  rule "ping" {
    action      = "accept"
    source      = [address_group.ping-peers]
    destination = [address_group.ping-peers]
    services    = ["icmp/echo-request"]
  }

  # Seen: 2 sources, 2 destinations.
  rule "bfd" {
    action      = "accept"
    source      = [address_group.bfd-peers]
    destination = [address_group.bfd-peers]
    services    = ["bfd"]
  }

  # Seen: 2 sources, 1 destination.
  rule "vrrp" {
    action      = "accept"
    source      = [address_group.bfd-peers]
    destination = ["224.0.0.18"]
    services    = ["vrrp"]
  }

  # Seen: 1 source, 1 destination.
  rule "protocol-47" {
    action      = "accept"
    source      = ["10.0.0.1"]
    destination = ["10.0.0.2"]
    services    = ["protocol/47"]
  }

  rule "lldp" {
    action   = "accept"
    services = ["ethertype/0x88cc"]
  }

  # not suggested: 10.0.0.1 > 10.0.0.77: icmp/echo-request, never answered
}
