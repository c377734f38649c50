"""Needle in a haystack: a fact hidden in a long text, asked for at every length and depth."""
