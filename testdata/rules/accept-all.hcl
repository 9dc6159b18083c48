# Accepts everything that is sound, from everybody: for looking at captures with
# `sttwall replay`, and for measuring. Not for a network.

settings {
  endpoints = ["any"]
}

# One tenant owns all context IDs. A rule would not be enough: "any" means any IP
# packet. The default of the tenant takes the rest too, ARP and other ethertypes.
tenant "all" {
  context_ids    = ["0x0000000000000000/0"]
  default_action = "accept"

  # Stateless, because a capture begins in the middle of flows. Later fragments
  # pass by themselves only where a rule names them.
  rule "everything" {
    action   = "accept"
    services = ["any", "arp"]
    state    = "stateless"
  }
  rule "later-fragments" {
    action   = "accept"
    fragment = ["later"]
    state    = "stateless"
  }
}
