settings {
  endpoints = ["10.47.0.0/16"]
}

tenant "acme" {
  context_ids = [100]

  anti_spoof {
    binding "db1" {
      addresses = ["10.1.16.5"]
    }
    binding "db2" {
      endpoints = ["10.47.1.1"]
    }
    binding {
      endpoints = ["10.47.1.1"]
      macs      = ["02:00:00:00:00:05"]
    }
  }
}
