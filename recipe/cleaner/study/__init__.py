"""CLEANER's claims at equal numbers of generated tokens: arms, seeds, runs, tables."""
