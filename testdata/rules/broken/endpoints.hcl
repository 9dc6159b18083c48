settings {
  endpoints = ["10.47.0.1/16", "any", "tunnel-1"]
}

tenant "acme" {
  context_ids = [100]

}
