"""Agents that act in an environment, and the runner that runs them."""
