settings {
  endpoints = ["10.47.0.0/16"]
}

rule "web" {
  action = "accept"
}
