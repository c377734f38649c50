"""How many tasks and pairs the published runs trained on (arXiv 2606.17053 and its release)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mixture:
    """Rows of a training set. `pair_share` is the share of pairs in all rows."""

    tasks: int
    pairs: int

    @property
    def pair_share(self) -> float:
        return self.pairs / (self.tasks + self.pairs)

    def with_share(self, share: float) -> Mixture:
        """As many rows in all, another share of pairs.

        Example:
            >>> PRESETS["mm_qwen25vl_7b"].with_share(0.05)
            Mixture(tasks=42750, pairs=2250)
        """
        if not 0 < share < 1:
            raise ValueError(f"a share of pairs lies between 0 and 1, got {share:g}")
        total = self.tasks + self.pairs
        pairs = round(total * share)
        return Mixture(total - pairs, pairs)

    def scaled(self, share: float) -> Mixture:
        """A smaller training set with the same share of pairs, for trials."""
        if not 0 < share <= 1:
            raise ValueError(f"a scale lies in (0, 1], got {share:g}")
        return Mixture(max(1, round(self.tasks * share)), max(1, round(self.pairs * share)))


PRESETS = {
    "agentic_klear": Mixture(tasks=7_000, pairs=1_000),
    "agentic_qwen3_8b": Mixture(tasks=7_000, pairs=1_000),
    "mm_qwen25vl_7b": Mixture(tasks=38_000, pairs=7_000),
    "mm_qwen3vl_8b": Mixture(tasks=38_000, pairs=7_000),
}
"""By experiment. Klear's tasks are of SWE-Gym and SWE-smith, Qwen3-8B's of SWE-Gym only; the two multimodal sets differ
in filtering and template."""
SWEEP_SHARES = (0.05, 0.15, 0.20, 0.50)
