settings {
  endpoints     = ["10.47.0.0/16"]
  only_stt      = true
  startup_guard = true
  mss_floor     = 536
  other_tunnels = "drop"
  forward {
  }
}

tenant "acme" {
  context_ids = [100]
}
