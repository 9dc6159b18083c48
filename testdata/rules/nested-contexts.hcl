# Claims inside claims: the innermost wins.

settings {
  endpoints = ["10.47.0.0/16", "2001:db8:47::/48", "192.0.2.7"]
}

tenant "provider" {
  context_ids = ["0x0000000000000000/0"]
}

tenant "region" {
  context_ids = ["0xab00000000000000/8", 18446744073709551615]
}

tenant "customer" {
  context_ids    = ["0xab00000000001000-0xab00000000001fff", "0xab00000000002000"]
  default_action = "accept"
}

tenant "lab" {
  context_ids = ["0xab00000000001800/53"]

  rule "nothing" {
    action = "drop"
    log    = true
  }
}
