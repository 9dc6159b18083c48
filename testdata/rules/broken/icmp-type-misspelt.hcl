settings {
  endpoints = ["10.47.0.0/16"]
}

service "app" {
  protocol = "icmpv6"
  icmp_type = "echo-requst"
}

tenant "acme" {
  context_ids = [100]

  rule "web" {
    action = "accept"
    services = [service.app]
  }
}
