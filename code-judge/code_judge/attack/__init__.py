"""Attacks on real slots, and whether they were contained. What counts is what they did, never what they print.

A group of attacks is one module with a list `ATTACKS`; `catalogue` joins them.
"""
