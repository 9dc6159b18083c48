settings {
  endpoints = ["10.47.0.0/16"]
}

tenant "acme" {
  context_layout = "ovn"
  datapaths      = [7, 12]
}
