# The rules that sttwall is installed with: they only watch. All tenants pass; what would
# be dropped is counted and logged. What is wrong with a packet itself (broken, overlapping
# or contradicting segments, a lie in its headers) is dropped in this mode too.
#
#   sttwall drops                     # what was dropped, what would be, and why
#   sttwall suggest --running         # rules for all that has passed that way
#   sttwall check rules.new.hcl       # before they take the place of this file
#   systemctl reload sttwall
#
# docs/packages.md says how to go on from here, and how to go back; docs/rules.md is the
# reference of this language. Whole files to start from: rules.example.hcl.

settings {
  # Who may send STT. Put in your tunnel endpoints when you know them.
  endpoints = ["any"]

  # Other tunnels between endpoints (VXLAN, Geneve, GRE and more) are let be.
  other_tunnels = "pass"

  # As little as can be is changed in what passes. "any", the default where this is left
  # out, protects receivers on Windows too: docs/receivers.md.
  receivers = "linux"
}

# Every Context ID. A tenant that claims some of them for itself goes before this one.
tenant "everybody" {
  context_ids    = ["0x0/0"]
  mode           = "audit"
  default_action = "drop"
}

test "everything passes" {
  context_id = 100
  packet     = "tcp 10.1.9.9:40000 > 10.1.0.10:443 syn"
  expect     = "accept"
}

test "so does the middle of a connection, of whatever tenant" {
  context_id = "0xffffffffffffffff"
  packet     = "tcp 10.1.9.9:40000 > 10.1.0.10:443 ack seq 1000 ack-number 2000"
  expect     = "accept"
}
