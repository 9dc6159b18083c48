settings {
  endpoints = ["10.47.0.1", "10.47.0.2", "10.47.0.4"]
}

address_group "dns-clients" {
  addresses = [
    "10.4.0.7", "10.4.1.7", "10.4.2.7", "10.4.3.7", "10.4.4.7", "10.4.5.7", "10.4.6.7", "10.4.7.7",
    "10.4.8.7", "10.4.9.7", "10.4.10.7", "10.4.11.7",
  ]
}

address_group "dns-servers" {
  addresses = ["10.1.0.53", "10.1.1.53"]
}

service "http" {
  protocol = "tcp"
  ports    = [80]
}

tenant "context-100" {
  context_ids    = [100]
  default_action = "drop"

  # Seen: 12 sources, 2 destinations.
  rule "dns" {
    action      = "accept"
    source      = [address_group.dns-clients]
    destination = [address_group.dns-servers]
    services    = ["dns"]
  }

  # Seen: 1 source, 1 destination.
  # 1 flow had begun before: who serves is a guess from the ports.
  rule "http" {
    action      = "accept"
    source      = ["10.4.3.7"]
    destination = ["10.1.0.80"]
    services    = [service.http]
  }

  rule "dhcp" {
    action   = "accept"
    services = ["dhcp"]
  }
}
