settings {
  endpoints = ["10.47.0.0/16"]
}

service "app" {
  protocol = "tcp"
  ports = [1000-2000]
}

tenant "acme" {
  context_ids = [100]

  rule "web" {
    action = "accept"
    services = [service.app]
  }
}
