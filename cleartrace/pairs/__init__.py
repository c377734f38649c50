"""Contrastive context pairs: an answer, the context that supports it and one that nearly does (arXiv 2606.17053)."""
