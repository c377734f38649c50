"""Graders: one entry point for every task source, and length shaping."""
