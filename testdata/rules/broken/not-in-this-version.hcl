settings {
  endpoints     = ["10.47.0.0/16"]
  startup_guard = true
  mss_floor     = 536
  forward {
  }
}

tenant "acme" {
  context_ids = [100]
}
