settings {
  endpoints      = ["any"]
  default_action = "deny"
}

tenant "acme" {
  context_ids = [100]

}
