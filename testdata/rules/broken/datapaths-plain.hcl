settings {
  endpoints = ["10.47.0.0/16"]
}

tenant "acme" {
  datapaths      = [7, 12]
}
