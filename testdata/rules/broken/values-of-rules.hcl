settings {
  endpoints = ["10.47.0.0/16"]
}

service "udp" {
  protocol = "udp"
}

tenant "acme" {
  context_ids = [100]

  rule "values" {
    action          = "allow"
    source          = ["all", "*", "10.0.0.1%eth0", "10.0.0.1 - 10.0.0.9", "address_group.web", "${service.udp}", "${service}"]
    destination     = [service.udp, any, adress_group.web, address_group.web.x, !address_group.web]
    services        = ["htp"]
    source_mac      = ["02:00:00:00:00", "52:54:00:00:00:01/24", "52:54:00:00:00:00/49", 5, "unicast"]
    destination_mac = ["!02-00"]
    vlan            = [4096, "9-5", "untagged", "!4096", true, -1]
    pcp             = [8, "5 - 7"]
    ethertype       = ["ip", 65536, "0x10000", "!ipv7", "0x05ff"]
    arp_operation   = ["requst", 65536]
    tcp_flags       = ["SYN", "ack", "!ack"]
    fragment        = ["frist", 1]
    from_endpoint   = ["10.47.1.1-10.47.1.9"]
    to_endpoint     = [address_group.web]
    datapath        = [1]
    ingress_port    = [1]
    egress_port     = [1]
    state           = "stateles"
    mode            = "monitor"
    log             = "yes"
  }

  rule "empty" {
    action          = "accept"
    source          = []
    destination     = []
    services        = []
    source_mac      = []
    destination_mac = []
    vlan            = []
    pcp             = []
    ethertype       = []
    arp_operation   = []
    tcp_flags       = []
    fragment        = []
    from_endpoint   = []
    to_endpoint     = []
  }

  rule "nothing-set" {
    action = "drop"
    set {
      dscp = 0
    }
  }

  rule "blocks" {
    action = "accept"
    limit {
      rate  = "0/s"
      burst = 0
      over  = "continue"
    }
    set {
      dscp    = "af44"
      mss_max = 100
    }
    time {
      days       = ["monday", "mon-fry", 1]
      from       = "8:00 am"
      to         = "24:01"
      timezone   = "Europe/Bonn"
      not_before = "2026-02-30"
      not_after  = "31.12.2026"
    }
    time {
      days       = []
      not_before = "2026-12-31"
      not_after  = "2026-12-01"
      timezone   = "Local"
    }
    time {
      not_before = "2026-12-31"
      not_after  = "2026-12-30"
    }
  }

  rule "more-blocks" {
    action = "accept"
    limit {
      rate  = "1/day"
      burst = 4000000000
    }
    limit {
      rate = "1/s"
    }
    set {
    }
  }

  rule "centuries" {
    action = "accept"
    limit {
      rate  = "1/day"
      burst = 1000000000
    }
  }

  rule "without-rate" {
    action = "accept"
    limit {
      burst = 1
    }
    set {
      dscp = 64
    }
  }
}

tenant "ovn" {
  context_layout = "ovn"
  datapaths      = [7]

  rule "ports" {
    action       = "accept"
    datapath     = [16777216]
    ingress_port = [32768]
    egress_port  = [65536, "9-1"]
  }
  rule "no-ports" {
    action       = "accept"
    datapath     = []
    ingress_port = []
    egress_port  = []
  }
}
