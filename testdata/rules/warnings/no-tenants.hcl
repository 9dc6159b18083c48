settings {
  endpoints      = ["10.47.0.0/16"]
  default_action = "accept"
}
