settings {
  endpoints     = ["10.47.0.0/16"]
  other_tunnels = "allow"
  only_stt      = "yes"
}

tenant "acme" {
  context_ids = [100]
}
