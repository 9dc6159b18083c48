settings {
  endpoints = ["10.47.0.1", "10.47.0.2", "10.47.0.3", "10.47.0.4"]
}

service "ftp" {
  protocol = "tcp"
  ports    = [21]
}

tenant "context-100" {
  context_ids    = [100]
  default_action = "drop"

  # Seen: 2 sources, 1 destination.
  rule "ftp" {
    action      = "accept"
    source      = ["10.9.0.7", "10.9.0.8"]
    destination = ["10.1.0.21"]
    services    = [service.ftp, "tcp/50100-50122"]
  }

  # Seen: 1 source, 1 destination.
  rule "tcp-40001" {
    action      = "accept"
    source      = ["10.9.0.7"]
    destination = ["10.1.0.30"]
    services    = ["tcp/40001", "tcp/45001", "tcp/50001"]
  }
}
