"""Runs of other programs as episodes. What cannot be read is refused with its reason, and the rest goes on."""
