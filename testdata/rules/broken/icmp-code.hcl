settings {
  endpoints = ["10.47.0.0/16"]
}

service "app" {
  protocol = "icmp"
  icmp_type = "echo-request"
  icmp_code = "port-unreachable"
}

tenant "acme" {
  context_ids = [100]

  rule "web" {
    action = "accept"
    services = [service.app]
  }
}
