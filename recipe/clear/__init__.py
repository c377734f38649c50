"""CLEAR: settings of the paper, and the whole pipeline in miniature."""
