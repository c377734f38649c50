"""Short entries of advice, learned from failures."""
