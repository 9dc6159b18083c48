settings {
  endpoints = ["10.47.0.0/16"]
}

tenant "acme" {
  context_ids = [100]

  rule "web" {
    action = "accept"
    source = ["address_group.web"]
    destination = ["${address_group.web}"]
  }
}
