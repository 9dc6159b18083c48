settings {
  endpoints = ["10.47.0.0/16"]
  bindings  = 0
}

tenant "acme" {
  context_layout = "ovn"
  datapaths      = [7]

  anti_spoof {
    learn                = "mac"
    within               = ["10.1.0.300"]
    shared_ingress_ports = ["40000"]
    shared_datapaths     = ["routers"]
    expiry               = "soon"
    move_after           = 5
    binding "db1" {
      endpoints = ["10.47.1.1"]
      addresses = ["10.1.16.5/24"]
    }
  }
}

tenant "globex" {
  context_ids = [100]

  anti_spoof {
    within = []
    binding "db1" {
      endpoints = ["10.47.1.1"]
      addresses = []
    }
  }
}
