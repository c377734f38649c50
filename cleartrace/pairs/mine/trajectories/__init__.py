"""Contrastive pairs out of agents' trajectories: one repository and commit, one file, one function, two defects."""
