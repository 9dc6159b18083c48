settings {
  endpoints = ["10.47.0.0/16"]
}

address_group "web" {
  addresses = ["10.0.0.1"]
}

tenant "acme" {
  context_ids = [100]

  rule "web" {
    action = "accept"
    source = [address_group.wbe]
  }
}
