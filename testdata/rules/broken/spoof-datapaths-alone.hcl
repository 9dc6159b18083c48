settings {
  endpoints = ["10.47.0.0/16"]
}

tenant "acme" {
  context_layout = "ovn"
  datapaths      = [7]

  anti_spoof {
    binding "db1" {
      endpoints     = ["10.47.1.1"]
      addresses     = ["10.1.16.5"]
      datapaths     = [7]
    }
    binding "db2" {
      endpoints     = ["10.47.1.1"]
      datapaths     = []
      ingress_ports = [40000]
    }
  }
}
