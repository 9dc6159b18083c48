settings {
  endpoints = ["10.47.0.0/16"]
}

tenant "acme" {
  context_ids = [100]

  rule "web" {
    action   = "accept"
    services = ["tcp/80"]
  }
  rule "office" {
    action   = "accept"
    services = ["udp/53"]
    time {
      from = "08:00"
      to   = "18:00"
    }
  }
}

tenant "gone" {
  context_ids    = [200]
  default_action = "accept"
}

tenant "other" {
  context_ids = [300]
}
