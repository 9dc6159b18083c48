settings {
  endpoints = [address_group.tunnels, "10.47.0.1-10.47.0.9", "::ffff:10.47.0.1"]
}

tenant "acme" {
  context_ids = [100]

}
