settings {
  only_stt      = true
  other_tunnels = "pass"
}

tenant "acme" {
  context_ids = [100]
}
