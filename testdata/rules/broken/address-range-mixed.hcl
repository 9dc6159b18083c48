settings {
  endpoints = ["10.47.0.0/16"]
}

tenant "acme" {
  context_ids = [100]

  rule "web" {
    action = "accept"
    source = ["10.0.0.1-2001:db8::1"]
  }
}
