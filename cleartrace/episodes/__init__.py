"""One run of any agent on one task, as data: what it did, and, apart from that, how it went."""
