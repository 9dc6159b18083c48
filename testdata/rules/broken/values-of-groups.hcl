settings {
  endpoints = ["10.47.0.0/16"]
}

address_group "empty" {
}

address_group "circle" {
  addresses = [address_group.round]
}

address_group "round" {
  addresses = [!address_group.square, address_group["circle"]]
}

address_group "square" {
  addresses = [10, "all", "10.1.0.1/24"]
}

address_group "missing-file" {
  addresses_from = "no-such-file.txt"
}

address_group "no-file" {
  addresses_from = ["blocked.txt"]
}

address_group "from-file" {
  addresses_from = "addresses-broken.txt"
}

address_group "nothing" {
  addresses = []
}

tenant "acme" {
  context_ids = [100]
}
