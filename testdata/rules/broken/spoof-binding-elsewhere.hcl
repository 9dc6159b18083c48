settings {
  endpoints = ["10.47.0.0/16"]
}

tenant "acme" {
  context_ids = [100]
  endpoints   = ["10.47.1.0/24"]

  anti_spoof {
    binding "db1" {
      endpoints = ["10.47.1.1", "10.47.2.1"]
      addresses = ["10.1.16.5"]
    }
  }
}
