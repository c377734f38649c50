"""Learning context from runs."""
