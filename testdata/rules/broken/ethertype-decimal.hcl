settings {
  endpoints = ["10.47.0.0/16"]
}

tenant "acme" {
  context_ids = [100]

  rule "web" {
    action = "accept"
    services = ["ethertype/35020", "ethertype/0x0026"]
  }
}
