settings {
  endpoints = ["10.47.0.0/16"]
}

tenant "acme" {
  context_ids = [100]

  rule "web" {
    action = "accept"
    source = concat(["10.0.0.1"], nobody)
    destination = [for n in range(1, 1000) : [for m in range(1, 1000) : "10.0.0.1"]]
    services = ["tcp/${80 / 0}"]
    vlan = [format("%100000d", 1), join("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", ["a", "b"]), replace("abc", "", "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy")]
    log = file("/etc/passwd")
  }
}
