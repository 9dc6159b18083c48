settings {
  endpoints = ["10.47.0.3", "10.47.0.4"]
}

service "https" {
  protocol = "tcp"
  ports    = [443]
}

tenant "datapath-7" {
  context_layout = "ovn"
  datapaths      = [7, 9]
  default_action = "drop"

  # Seen: 1 source, 1 destination.
  rule "https" {
    action      = "accept"
    source      = ["10.9.0.7"]
    destination = ["10.1.0.10"]
    services    = [service.https]
  }
}

tenant "datapath-11" {
  context_layout = "ovn"
  datapaths      = [11]
  default_action = "drop"

  # Seen: 1 source, 1 destination.
  rule "https" {
    action      = "accept"
    source      = ["10.9.0.7"]
    destination = ["10.1.0.10"]
    services    = [service.https]
  }
}
