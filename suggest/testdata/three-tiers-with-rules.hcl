address_group "postgresql-servers" {
  addresses = ["10.1.2.31", "10.1.2.32"]
}

address_group "tcp-8000-servers" {
  addresses = ["10.1.1.21-10.1.1.23"]
}

service "postgresql" {
  protocol = "tcp"
  ports    = [5432]
}

# Paste these rules at the end of the block of tenant "acme".

# Seen: 40 sources, 2 destinations.
rule "https" {
  action      = "accept"
  source      = [address_group.everybody]
  destination = [address_group.frontends]
  services    = [service.tls]
}

# Seen: 2 sources, 3 destinations.
rule "tcp-8000" {
  action      = "accept"
  source      = [address_group.frontends]
  destination = [address_group.tcp-8000-servers]
  services    = ["tcp/8000-8002"]
}

# Seen: 1 source, 7 destinations.
rule "ping" {
  action      = "accept"
  source      = ["10.8.0.9"]
  destination = [address_group.frontends, address_group.postgresql-servers, address_group.tcp-8000-servers]
  services    = ["icmp/echo-request"]
}

# Seen: 1 source, 7 destinations.
rule "ssh-2" {
  action      = "accept"
  source      = ["10.8.0.5"]
  destination = [address_group.frontends, address_group.postgresql-servers, address_group.tcp-8000-servers]
  services    = ["tcp/22"]
}

# Seen: 5 sources, 1 destination.
rule "dns" {
  action      = "accept"
  source      = [address_group.frontends, address_group.tcp-8000-servers]
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
