settings {
  endpoints = ["10.47.0.0/16"]
}

tenant "acme" {
  context_ids = ["acme", "0x", "1 - 9", true, "0x10000000000000000"]

}
