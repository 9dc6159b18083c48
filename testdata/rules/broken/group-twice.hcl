settings {
  endpoints = ["10.47.0.0/16"]
}

address_group "web" {
  addresses = ["10.0.0.1"]
}

address_group "web" {
  addresses = ["10.0.0.2"]
}

tenant "acme" {
  context_ids = [100]

}
