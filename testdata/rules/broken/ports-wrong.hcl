settings {
  endpoints = ["10.47.0.0/16"]
}

service "app" {
  protocol = 6
  ports = [70000, -1, 80.5, "http"]
  source_ports = []
}

tenant "acme" {
  context_ids = [100]

  rule "web" {
    action = "accept"
    services = [service.app]
  }
}
