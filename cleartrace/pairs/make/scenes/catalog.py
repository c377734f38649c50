"""All kinds of scenes, and one of them by its number."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from cleartrace.pairs.make.scenes.charts import BarChart, LineChart, PieChart
from cleartrace.pairs.make.scenes.domain import Domain
from cleartrace.pairs.make.scenes.functions import JumpPlot, Parabola
from cleartrace.pairs.make.scenes.geometry import Rectangle, Triangle
from cleartrace.pairs.make.scenes.scene import Scene
from cleartrace.pairs.make.scenes.science import Circuit, FoodWeb, Thermometer
from cleartrace.pairs.make.scenes.shelves import Shelf

SCENES: dict[Domain, tuple[type[Scene], ...]] = {
    Domain.CHART: (BarChart, LineChart, PieChart),
    Domain.GEOMETRY: (Triangle, Rectangle),
    Domain.FUNCTION: (JumpPlot, Parabola),
    Domain.SCIENCE: (Circuit, FoodWeb, Thermometer),
    Domain.NATURAL: (Shelf,),
}


def sample_scene(seed: int, number: int, domains: Sequence[Domain] = tuple(Domain)) -> Scene:
    """Scene `number` of the stream `seed`: a pure function of both. Domains take turns, and so do their kinds."""
    domain = domains[number % len(domains)]
    kinds = SCENES[domain]
    kind = kinds[number // len(domains) % len(kinds)]
    return kind.sample(scene_rng(seed, number))


def scene_rng(seed: int, number: int, purpose: str = "scene") -> Random:
    """Random numbers that belong to one scene alone."""
    return Random(f"{purpose}:{seed}:{number}")
