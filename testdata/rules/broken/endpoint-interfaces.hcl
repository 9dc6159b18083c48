settings {
  endpoints = ["10.47.0.0/16 on eth0", "10.47.0.0/16", "10.48.0.0/16 on eth/1", "10.49.0.0/16 on "]
}

tenant "acme" {
  context_ids = [100]
  endpoints   = ["10.47.0.1 on eth0"]
}
