settings {
  endpoints = ["10.47.0.1", "10.47.0.3", "10.47.0.4"]
}

service "https" {
  protocol = "tcp"
  ports    = [443]
}

service "syslog" {
  protocol = "udp"
  ports    = [514]
}

tenant "context-100" {
  context_ids    = [100]
  default_action = "drop"

  # Seen: 1 source, 1 destination.
  rule "https" {
    action      = "accept"
    source      = ["10.9.0.7"]
    destination = ["10.1.0.10"]
    services    = [service.https]
  }

  # Seen: 1 source, 1 destination.
  rule "syslog" {
    action      = "accept"
    source      = ["10.9.0.7"]
    destination = ["10.1.0.99"]
    services    = [service.syslog]
  }

  # not suggested: 10.66.6.6 > 10.1.0.10: tcp/1, tcp/2, tcp/3, tcp/4, and 997 more, a scan
  # not suggested: 10.9.0.7 > 10.1.0.10: udp/4711, never answered
  # not suggested: 10.9.0.8 > 2 hosts: tcp/23, never answered
}
