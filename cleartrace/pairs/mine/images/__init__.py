"""Contrastive pairs of images: found in a collection by similarity, or made by an edit that changes the answer."""
