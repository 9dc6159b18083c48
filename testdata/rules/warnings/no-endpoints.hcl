tenant "acme" {
  context_ids = [100]
}
