settings {
  endpoints = ["10.47.0.0/16"]
}

tenant "acme" {
  context_ids = [100]

  anti_spoof {
    shared_ingress_ports = [1]
    shared_datapaths     = [9]
    binding "db1" {
      endpoints     = ["10.47.1.1"]
      ingress_ports = [3]
      datapaths     = [7]
    }
  }
}
