settings {
  receivers = "linux"
}

tenant "acme" {
  context_ids = [100]
}
