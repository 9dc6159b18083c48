settings {
  endpoints = ["10.47.0.0/16"]
}

service "app" {
  protocol = "icmp"
  icmp_code = 4
}

tenant "acme" {
  context_ids = [100]

  rule "web" {
    action = "accept"
    services = [service.app]
  }
}
