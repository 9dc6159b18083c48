settings {
  endpoints = ["any"]
  only_stt  = true
}

tenant "acme" {
  context_ids = [100]
}
