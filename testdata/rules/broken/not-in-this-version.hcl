settings {
  endpoints     = ["10.47.0.0/16"]
  startup_guard = true
}

tenant "acme" {
  context_ids = [100]
}
