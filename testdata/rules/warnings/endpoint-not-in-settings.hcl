settings {
  endpoints = ["10.47.0.0/16"]
}

tenant "acme" {
  context_ids = [100]
  endpoints   = ["10.47.1.0/24", "10.48.1.0/24", "2001:db8::1"]
}
