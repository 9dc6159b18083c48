settings {
  endpoints = ["10.47.0.1", "10.47.0.2", "10.47.0.3", "10.47.0.4"]
}

address_group "https-servers" {
  addresses = ["10.1.0.10", "10.1.0.11"]
}

address_group "postgresql-servers" {
  addresses = ["10.1.2.31", "10.1.2.32"]
}

address_group "tcp-8000-servers" {
  addresses = ["10.1.1.21-10.1.1.23"]
}

service "http" {
  protocol = "tcp"
  ports    = [80]
}

service "https" {
  protocol = "tcp"
  ports    = [443]
}

service "postgresql" {
  protocol = "tcp"
  ports    = [5432]
}

service "ssh" {
  protocol = "tcp"
  ports    = [22]
}

tenant "context-100" {
  context_ids    = [100]
  default_action = "drop"

  # Seen: 40 sources, 2 destinations.
  rule "https-http" {
    action      = "accept"
    source      = ["10.9.0.0/24"]
    destination = [address_group.https-servers]
    services    = [service.http, service.https]
  }

  # Seen: 2 sources, 3 destinations.
  rule "tcp-8000" {
    action      = "accept"
    source      = [address_group.https-servers]
    destination = [address_group.tcp-8000-servers]
    services    = ["tcp/8000-8002"]
  }

  # Seen: 1 source, 7 destinations.
  rule "ping" {
    action = "accept"
    source = ["10.8.0.9"]
    destination = [
      address_group.https-servers, address_group.postgresql-servers, address_group.tcp-8000-servers,
    ]
    services = ["icmp/echo-request"]
  }

  # Seen: 1 source, 7 destinations.
  rule "ssh" {
    action = "accept"
    source = ["10.8.0.5"]
    destination = [
      address_group.https-servers, address_group.postgresql-servers, address_group.tcp-8000-servers,
    ]
    services = [service.ssh]
  }

  # Seen: 5 sources, 1 destination.
  rule "dns" {
    action      = "accept"
    source      = [address_group.https-servers, address_group.tcp-8000-servers]
    destination = ["10.1.3.53"]
    services    = ["dns"]
  }

  # Seen: 3 sources, 2 destinations.
  rule "postgresql" {
    action      = "accept"
    source      = [address_group.tcp-8000-servers]
    destination = [address_group.postgresql-servers]
    services    = [service.postgresql]
  }
}
