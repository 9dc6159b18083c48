settings {
  endpoints = ["10.47.0.0/16"]
}

tenant {
  context_ids = [100]
}
