"""cleartrace: train tool-using agents on clean trajectories and clear context.

The core package. It imports neither torch, Ray nor veRL; the veRL layer lives in `verl/cleartrace_verl`.
"""

__version__ = "0.1.0"
