"""BrowseComp-Plus (Chen et al. 2025, arXiv:2508.06600): questions over a fixed corpus behind a retrieval service.

Questions and service are the user's: the decrypted file, and a server that searches its corpus. A model judges answers.
"""

from cleartrace.environments.browsecomp.environment import BrowseComp

__all__ = ["BrowseComp"]
