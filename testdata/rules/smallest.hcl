settings {
  endpoints = ["any"]
}

tenant "acme" {
  context_ids = [100]
}
