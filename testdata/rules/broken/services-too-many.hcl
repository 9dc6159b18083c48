settings {
  endpoints = ["10.47.0.0/16"]
}

service "many" {
  protocol     = "tcp"
  ports        = [for n in range(0, 200, 2) : n]
  source_ports = [for n in range(0, 200, 2) : n]
}

tenant "acme" {
  context_ids = [100]

  rule "web" {
    action   = "accept"
    services = [service.many]
  }
}
