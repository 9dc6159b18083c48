settings {
  endpoints = ["10.47.0.0/16"]
}

tenant "acme" {
  context_layout = "ovn"
  datapaths      = [7]

  anti_spoof {
    binding "db1" {
      endpoints     = ["10.47.1.1"]
      datapaths     = [for n in range(0, 100, 2) : n]
      ingress_ports = ["0-32767"]
    }
  }
}
