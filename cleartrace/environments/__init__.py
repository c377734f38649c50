"""Tasks an agent can be run on, behind one protocol."""
