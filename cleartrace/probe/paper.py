"""The points of figure 5 of arXiv 2606.17053, read off the printed figure: approximate, without intervals."""

from __future__ import annotations

from cleartrace.probe.figure5 import METHODS, Point

NOTE = "hollow: read off the paper's figure"

_READ = {
    "Qwen2.5-VL-7B": ((57, 47.0), (57.5, 51.4), (92, 51.5), (61, 51.8), (89.5, 53.4)),
    "Qwen3-VL-8B": ((59.5, 58.3), (57, 64.1), (88, 63.9), (62.5, 64.3), (85, 65.7)),
    "Klear-8B": ((50.5, 23.8), (51.5, 24.9), (91, 3.9), (51, 24.7), (85.5, 26.5)),
    "Qwen3-8B": ((58, 3.85), (56.5, 4.45), (92.5, 0.0), (60, 4.3), (88, 5.5)),
}
"""(x, y) of Base, RL, DA-SFT, DA-RL and Ours."""


def paper_points(model: str) -> list[Point]:
    """Points of one model in percent; [] for a model that the figure does not show.

    The figure puts Klear's "Ours" near 26.5, where the table of the same paper has a mean of 27.1.
    """
    return [
        Point(method, model, x, x, x, y, y, y) for method, (x, y) in zip(METHODS, _READ.get(model, ()), strict=False)
    ]
