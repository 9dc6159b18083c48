settings {
  endpoints = ["10.47.0.0/16"]
}

address_group "blocked" {
  addresses_from = "nobody.txt"
}

tenant "acme" {
  context_ids = [100]
}
