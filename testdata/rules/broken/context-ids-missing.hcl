settings {
  endpoints = ["10.47.0.0/16"]
}

tenant "acme" {
  rule "web" {
    action = "accept"
  }
}
