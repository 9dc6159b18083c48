settings {
  endpoints = ["10.47.0.0/16"]
  forward   = "reencode"
  mss_floor = 1221
}

tenant "acme" {
  context_ids = [100]
}
