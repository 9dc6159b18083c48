settings {
  endpoints = ["10.47.0.0/16"]
}

tenant "acme" {
  context_ids = ["100-199"]
}

tenant "globex" {
  context_ids = ["100-149", "150-199"]
}
