settings {
  endpoints = ["any"]
  stt_ports = []
}

tenant "acme" {
  context_ids = [100]
}
