"""Executed code mutations: an installed package is broken on purpose, and a scripted agent mends it for real."""
