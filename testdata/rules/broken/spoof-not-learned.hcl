settings {
  endpoints = ["10.47.0.0/16"]
}

tenant "acme" {
  context_layout = "ovn"
  datapaths      = [7]

  anti_spoof {
    learn                = []
    within               = ["10.1.0.0/16"]
    shared_macs          = ["02:00:00:00:00:01"]
    shared_ingress_ports = [1]
    shared_datapaths     = [9]
    expiry               = "1h"
    move_after           = "2s"
    binding "db1" {
      endpoints = ["10.47.1.1"]
      addresses = ["10.1.16.5"]
    }
  }
}
