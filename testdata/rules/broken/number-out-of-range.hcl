settings {
  endpoints = ["10.47.0.0/16"]
}

tenant "acme" {
  context_layout = "ovn"
  datapaths      = [7, "16777216"]

  rule "web" {
    action       = "accept"
    vlan         = ["5000"]
    pcp          = ["!8"]
    ingress_port = ["1-40000"]
  }
}
