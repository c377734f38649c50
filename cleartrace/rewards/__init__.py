"""Graders: one entry point for every task source, and shaping of their scores."""
