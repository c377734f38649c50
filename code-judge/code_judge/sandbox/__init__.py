"""Confinement of runs: levels, primitives, slots. Nothing here knows of queues, HTTP or expected outputs."""
