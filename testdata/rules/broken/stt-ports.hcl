settings {
  endpoints = ["any"]
  stt_ports = [0, 7471, 7471, 70000, "7472"]
}

tenant "acme" {
  context_ids = [100]

}
