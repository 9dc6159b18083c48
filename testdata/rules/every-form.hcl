# Every form of the language once.

settings {
  stt_ports      = [7471, 7472]
  endpoints      = ["10.47.0.0/16", "2001:db8:47::1"]
  receivers      = "linux"
  default_action = "drop"
}

address_group "web" {
  addresses = ["10.1.0.0/24", "10.2.0.1", "10.3.0.1-10.3.0.9", "2001:db8:1::/64", "2001:db8:2::1-2001:db8:2::ff"]
}

address_group "db-hosts" {
  addresses = ["10.1.9.0/24"]
}

service "https" {
  protocol = "tcp"
  ports    = [443, "8443-8450"]
}

service "from-https" {
  protocol     = 6
  source_ports = [443, "8443-8450"]
}

service "ping" {
  protocol  = "icmp"
  icmp_type = "echo-request"
  icmp_code = 0
}

service "unreachable" {
  protocol  = "icmpv6"
  icmp_type = 1
  icmp_code = "port-unreachable"
}

service "ospf" {
  protocol = 89
}

service "ip" {
  protocol = "any"
}

tenant "acme" {
  context_ids    = [100, "200", "0x12c", "400-499", "0x1000-0x1fff", "0xab00000000000000/8"]
  default_action = "drop"

  rule "addresses" {
    action      = "accept"
    source      = ["any", "!10.0.0.0/8", !address_group.db-hosts]
    destination = [address_group.web, address_group["db-hosts"], "::ffff:10.0.0.0/104"]
  }

  rule "services" {
    action = "accept"
    services = [
      service.https, service.from-https, service.ping, service.unreachable, service["ospf"],
      "tcp/443", "tcp/1000-2000", "udp/53", "sctp/0-65535", "tcp", "udp", "sctp",
      "icmp", "icmpv6", "icmp/echo-request", "icmp/3", "icmp/destination-unreachable/frag-needed", "icmpv6/2/0",
      "protocol/89", "arp", "nd",
    ]
    log = true
  }

  rule "lldp" {
    action   = "drop"
    services = ["ethertype/0x88cc", service.ip]
  }
}

tenant "default-only" {
  context_ids    = [0]
  default_action = "accept"
}

tenant "bound" {
  context_ids = [700]
  endpoints   = ["10.47.1.0/24", "2001:db8:47::1"]
  anti_spoof {
    learn       = ["address", "mac"]
    within      = ["10.1.0.0/16", "!10.1.0.1", !address_group.db-hosts, "2001:db8:1::/48"]
    shared_macs = ["0a:00:00:00:00:00/24", "0a:00:00:00:01:01"]
    expiry      = "1h"
    move_after  = "500ms"

    binding "db1" {
      endpoints = ["10.47.1.1", "10.47.1.8/29", "2001:db8:47::1"]
      addresses = ["10.1.16.5", "10.1.17.0/24", "10.1.18.1-10.1.18.9", address_group.db-hosts, "2001:db8:1::5"]
      macs      = ["02:00:00:00:00:05", "52:54:00:00:00:00/24", "!52:54:00:00:00:07"]
    }
    binding "gateway" {
      endpoints = ["10.47.1.2"]
      addresses = ["any", "!10.0.0.0/8"]
    }
  }
}

tenant "bound-ovn" {
  context_layout = "ovn"
  datapaths      = [7, 8]
  anti_spoof {
    learn                = ["ingress_port"]
    shared_ingress_ports = [1, "100-199"]
    shared_datapaths     = [9, "20-29"]
    binding "db1" {
      endpoints     = ["10.47.1.1"]
      datapaths     = [7]
      ingress_ports = [3, "8-15"]
    }
  }
}

tenant "declared-only" {
  context_ids = [701]
  anti_spoof {
    learn = []
    binding "all" {
      endpoints = ["10.47.1.1"]
      addresses = ["any"]
    }
  }
}
