settings {
  endpoints = ["10.47.0.0/16"]
}

tenant "acme" {
  context_ids = [100]

  rule "numbers" {
    action = "accept"
    vlan   = [0, "0", "!0", 42]
  }
  rule "ranges" {
    action = "accept"
    vlan   = ["0-99", "!0-4095", "9-0"]
  }
}
