settings {
  endpoints = ["10.47.0.0/16"]
}

tenant "ids" {
  context_ids        = [-1, 1.5, "0x", "1 - 2", "9-1", "0xab/8", "100/8", "0x0/65", true]
  context_layout     = "neutron"
  endpoints          = ["10.47.1.1-10.47.1.9", "::ffff:10.47.1.1", "any"]
  default_action     = "deny"
  mode               = "permissive"
  neighbor_discovery = "accept"
  pairing            = "gateways"
  tcp_loose          = 1
  limits {
    flows            = 0
    flows_per_source = 20000000
    half_open        = "1000"
  }
}

tenant "no-ids" {
  context_ids = []
}

tenant "datapaths" {
  context_layout = "ovn"
  datapaths      = [16777216, "9-7", "7 - 9", [1], "7-9", 8]
}

tenant "datapaths-again" {
  context_layout = "ovn"
  datapaths      = ["8-20", 3]
}

tenant "no-datapaths" {
  context_layout = "ovn"
  datapaths      = []
}

tenant "one" "two" {
  context_ids = [5]
}

tenant "before_tenants" {
  context_ids = [6]
}

tenant "after_tenants" {
  context_ids = [7]
}

tenant "temporary" {
  context_ids = [8]
}
