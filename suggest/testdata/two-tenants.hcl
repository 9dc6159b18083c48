settings {
  endpoints = ["10.47.0.1", "10.47.0.3", "10.47.0.4"]
}

address_group "context-0x0102030405060708-https-servers" {
  addresses = ["10.1.0.10", "10.1.0.12"]
}

address_group "context-7-https-servers" {
  addresses = ["10.1.0.10", "10.1.0.12"]
}

service "https" {
  protocol = "tcp"
  ports    = [443]
}

tenant "context-7" {
  context_ids    = [7]
  default_action = "drop"

  # Seen: 1 source, 2 destinations.
  rule "https" {
    action      = "accept"
    source      = ["10.9.0.7"]
    destination = [address_group.context-7-https-servers]
    services    = [service.https]
  }
}

tenant "context-0x0102030405060708" {
  context_ids    = ["0x0102030405060708"]
  default_action = "drop"

  # Seen: 1 source, 2 destinations.
  rule "https" {
    action      = "accept"
    source      = ["10.9.0.7"]
    destination = [address_group.context-0x0102030405060708-https-servers]
    services    = [service.https]
  }
}
