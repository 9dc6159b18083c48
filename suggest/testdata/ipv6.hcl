settings {
  endpoints = ["10.47.0.1", "10.47.0.2", "10.47.0.3", "10.47.0.4"]
}

address_group "https-servers" {
  addresses = ["10.1.0.10", "10.1.0.11"]
}

address_group "https-servers-v6" {
  addresses = ["2001:db8:1::10", "2001:db8:1::11"]
}

service "https" {
  protocol = "tcp"
  ports    = [443]
}

tenant "context-100" {
  context_ids    = [100]
  default_action = "drop"

  # Seen: 10 sources, 4 destinations.
  rule "https" {
    action      = "accept"
    source      = ["10.9.0.7", "2001:db8:9::/64"]
    destination = [address_group.https-servers, address_group.https-servers-v6]
    services    = [service.https]
  }

  # Seen: 9 sources, 1 destination.
  rule "icmpv6-mld2-listener-report" {
    action      = "accept"
    source      = ["2001:db8:9::/64"]
    destination = ["ff02::16"]
    services    = ["icmpv6/mld2-listener-report"]
  }

  # Seen: 1 source, 1 destination.
  rule "ping" {
    action      = "accept"
    source      = ["2001:db8:9::5"]
    destination = ["2001:db8:1::10"]
    services    = ["icmpv6/echo-request"]
  }
}
