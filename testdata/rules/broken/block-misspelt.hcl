settings {
  endpoints = ["10.47.0.0/16"]
}

tennant "acme" {
  context_ids = [100]

}
