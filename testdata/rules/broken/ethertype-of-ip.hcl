settings {
  endpoints = ["10.47.0.0/16"]
}

tenant "acme" {
  context_ids = [100]

  rule "web" {
    action = "accept"
    services = ["ethertype/0x0800", "ethertype/0x0806", "ethertype/0x8100"]
  }
}
