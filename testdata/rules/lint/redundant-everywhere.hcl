settings {
  endpoints = ["10.47.0.0/16"]
}

before_tenants {
  rule "no-telnet" {
    action   = "drop"
    services = ["tcp/23"]
  }
}

tenant "acme" {
  context_ids = [100]
  rule "bfd" {
    action   = "accept"
    services = ["bfd"]
  }
}

tenant "globex" {
  context_ids = [200]
  rule "vrrp" {
    action   = "accept"
    services = ["vrrp"]
  }
  rule "no-telnet-either" {
    action   = "drop"
    services = ["tcp/20-25"]
  }
}
