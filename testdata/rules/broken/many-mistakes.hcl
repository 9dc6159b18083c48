settings {
  receiver = "linux"
}

address_group "web" {
  addresses = ["10.1.0.0/33"]
}

tenant "acme" {
  context_ids = [100]

  rule "web" {
    action = "permit"
    sources = ["any"]
    destination = [address_group.web, address_group.db]
    services = [service.https, "icmp/ping"]
  }
}
