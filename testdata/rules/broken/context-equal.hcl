settings {
  endpoints = ["10.47.0.0/16"]
}

tenant "acme" {
  context_ids = [100, 200]

}

tenant "globex" {
  context_ids = ["0xc8"]

}
