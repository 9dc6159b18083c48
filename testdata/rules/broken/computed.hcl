settings {
  endpoints = ["10.47.0.0/16"]
}

tenant "acme" {
  context_ids = [100]

  rule "web" {
    action = "accept"
    source = concat(["10.0.0.1"], ["10.0.0.2"])
    services = ["tcp/${80 + 1}"]
    log = 1 < 2
  }
}
