"""Rendered scenes in five domains: pictures whose every parameter is known, with questions that have one answer."""

from cleartrace.pairs.make.scenes.catalog import SCENES, sample_scene
from cleartrace.pairs.make.scenes.scene import Box, Domain, Look, Scene

__all__ = ["SCENES", "Box", "Domain", "Look", "Scene", "sample_scene"]
