"""The kinds of pictures, in a module of their own: the command line knows them without loading Pillow."""

from __future__ import annotations

from enum import Enum


class Domain(str, Enum):
    """The five kinds of pictures that the paper's multimodal set is made of."""

    CHART = "chart"
    GEOMETRY = "geometry"
    FUNCTION = "function"
    SCIENCE = "science"
    NATURAL = "natural"
