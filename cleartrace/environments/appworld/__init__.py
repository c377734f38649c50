"""AppWorld (Trivedi et al. 2024, arXiv:2407.18901; PyPI `appworld`): errands in simulated apps, done in a Python REPL.

The package pins old versions of much that we use, so it lives in an interpreter of its own; its data is the user's.
"""

from cleartrace.environments.appworld.environment import AppWorld

__all__ = ["AppWorld"]
