settings {
  endpoints = ["10.47.0.0/16"]
}

tenant "acme" {
  context_ids = [100]

  anti_spoof {
    learn       = ["mac"]
    shared_macs = []
    binding "db1" {
      endpoints = ["10.47.1.1"]
      macs      = ["broadcast"]
    }
    binding "db2" {
      endpoints = ["10.47.1.1"]
      macs      = ["01:00:5e:00:00:00/24"]
    }
    binding "db3" {
      endpoints = ["10.47.1.1"]
      macs      = ["10.1.16.5"]
    }
  }
}
