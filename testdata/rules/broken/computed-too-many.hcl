settings {
  endpoints = ["10.47.0.0/16"]
}

tenant "acme" {
  context_ids = [100]

  rule "web" {
    action = "accept"
    source = flatten([for a in [[for n in range(1000) : "10.0.${n / 250}.1"]] : [for x in range(100) : a]])
    vlan   = [for a in [range(1000)] : [for x in range(100) : a]]
  }
}
