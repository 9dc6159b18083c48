settings {
  endpoints = ["10.47.0.0/16"]
}

service "circle" {
  services = [service.round, servce.round, service[5]]
}

service "round" {
  services = [service.circle]
}

service "both" {
  services  = ["tcp/80"]
  ports     = [80]
  icmp_type = 3
}

service "ports" {
  protocol     = "tcp"
  ports        = [65536, "80 - 90", "80,90", "90-80"]
  source_ports = ["80:90", 80-90, true]
}

service "no-ports" {
  protocol     = 89
  ports        = []
  source_ports = [1]
}

service "flags" {
  protocol  = "tcp"
  tcp_flags = ["sin", "!SYN", "syn", "!syn", 5]
}

service "flags-of-udp" {
  protocol  = "udp"
  tcp_flags = ["syn"]
}

service "icmp" {
  protocol  = "icmp"
  icmp_type = true
}

service "icmp-type" {
  protocol  = "icmp"
  icmp_type = "echo"
}

service "icmp-code" {
  protocol  = "icmp"
  icmp_type = "destination-unreachable"
  icmp_code = []
}

service "icmp-code-name" {
  protocol  = "icmp"
  icmp_type = "destination-unreachable"
  icmp_code = "port-unreachabel"
}

service "icmp-code-of-none" {
  protocol  = "icmp"
  icmp_type = "echo-request"
  icmp_code = "port-unreachable"
}

service "protocol" {
  protocol = "OSPF"
}

service "protocol-number" {
  protocol = 256
}

service "words" {
  services = [
    "service.both", "echo", "443/tcp", "443", "ospf/1", "ssh", "icmp/3/port-unreachabel", "icmp/8/1x",
    "protocol/256", "ethertype/88cc", "ethertype/0x05ff", "ethertype/0x8100", "any/1", "tcp/80 90",
    "!udp", 80, true, tcp, addres_group.x, address_group.x, !service.both,
  ]
}

service "nothing" {
  services = []
}

tenant "acme" {
  context_ids = [100]
}
