settings {
  endpoints = ["any"]
  receivers = "linx"
}

tenant "acme" {
  context_ids = [100]

}
