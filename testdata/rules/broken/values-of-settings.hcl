settings {
  stt_ports      = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17]
  endpoints      = ["10.47.0.0/15", 5]
  receivers      = "ovs"
  default_action = "deny"
  tcp_loose      = "true"
  flows          = 0
  reject_rate    = "100/fortnight"
  endpoint_rate  = 100000
  timeouts {
    tcp_syn_sent     = "0s"
    tcp_syn_received = "1"
    tcp_established  = "400d"
    tcp_fin_wait     = 30
    tcp_close_wait   = "d"
    tcp_last_ack     = "-1s"
    tcp_time_wait    = "2 m"
    tcp_close        = true
    udp              = ["30s"]
    udp_stream       = "70000d"
    icmp             = "1us"
    other            = null
    fragment         = "30"
  }
}

tenant "acme" {
  context_ids = [100]
}
