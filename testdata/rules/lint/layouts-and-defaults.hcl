# What looks useless and is not, beside what is.

settings {
  endpoints = ["10.47.0.0/16"]
}

# An OVN tenant may claim its context IDs as numbers: they have parts all the same.
tenant "ovn" {
  context_layout = "ovn"
  context_ids    = ["0x10002000007", 0]

  rule "from-port-1" {
    action       = "accept"
    datapath     = [7]
    ingress_port = [1]
    services     = ["tcp/443"]
  }
  rule "from-port-3" {
    action       = "accept"
    ingress_port = [3]
    services     = ["tcp/443"]
  }
  rule "hop-by-hop" {
    action   = "drop"
    source   = ["2001:db8::/32"]
    services = ["protocol/0"]
  }
  rule "bfd" {
    action   = "accept"
    services = ["bfd"]
  }
}

# Without the rule the default would accept what belongs to no flow, too.
tenant "open" {
  context_ids    = [100]
  default_action = "accept"

  rule "ssh" {
    action   = "accept"
    services = ["tcp/22"]
  }
}
