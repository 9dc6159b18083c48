settings {
  endpoints = ["10.47.0.0/16"]
}

tenant "acme" {
  context_ids = ["0xab00000000000001/8", "0xab/8", "171/8", "0x0/65"]

}
