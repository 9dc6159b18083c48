settings {
  endpoints = ["10.47.0.0/16"]
}

tenant "acme" {
  context_ids = [18446744073709551616, -1, 1.5]

}
