"""An editor and a verifier without a model: a scene is drawn again with one change, and pixels are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from PIL import Image

from cleartrace.pairs.make.scenes.catalog import scene_rng
from cleartrace.pairs.make.scenes.scene import Scene
from cleartrace.pairs.mine.images.compare import difference_box, ssim_outside
from cleartrace.pairs.mine.images.editing import Criterion, Edit, NoEdit, Verdict
from cleartrace.pairs.mine.images.question import ImageQuestion, answers_differ

MIN_SSIM = 0.99


@dataclass(frozen=True)
class RerenderEditor:
    """Edits pictures whose scene is known.

    Args:
        scenes: (scene, its number in the stream) of each question id.
        seed: of the edits; the edit of a scene depends on nothing else.
    """

    scenes: Mapping[str, tuple[Scene, int]]
    seed: int

    def edit(self, question: ImageQuestion, image: Image.Image) -> Edit:
        del image
        if question.id not in self.scenes:
            raise NoEdit(f"{question.id} is no rendered scene; use an editor behind an endpoint")
        scene, number = self.scenes[question.id]
        edited = scene.edited(scene_rng(self.seed, number, "edit"))
        changed = ", ".join(
            f"{field.name}: {getattr(scene, field.name)} -> {getattr(edited, field.name)}"
            for field in fields(scene)
            if getattr(scene, field.name) != getattr(edited, field.name)
        )
        return Edit(edited.render(), edited.answer, changed, scene.target)


@dataclass(frozen=True)
class PixelVerifier:
    """Answer, place and surroundings, by pixels. Defects and restyling outside the target show as a low SSIM.

    It cannot see a defect inside the target: fit for re-rendered scenes, which have none, and as a first, cheap filter
    before a model. An edit whose target is unknown fails `local`.

    Args:
        min_ssim: least mean structural similarity outside the target.
        tolerance: channel difference up to which a pixel counts as unchanged; above 0 for lossy pictures.
    """

    min_ssim: float = MIN_SSIM
    tolerance: int = 0

    def verify(self, question: ImageQuestion, image: Image.Image, edit: Edit) -> Verdict:
        if not answers_differ(question.answer, edit.answer):
            return Verdict((Criterion.ANSWER_CHANGES,), f"the answer is still {edit.answer!r}")
        if image.size != edit.image.size:
            return Verdict((Criterion.REST_UNCHANGED,), f"the size is {edit.image.size}, and was {image.size}")
        if edit.target is None:
            return Verdict((Criterion.LOCAL,), "the region of the answer is not known")
        box = difference_box(image, edit.image, self.tolerance)
        if box is None:
            return Verdict((Criterion.ANSWER_CHANGES,), "no pixel has changed")
        if not edit.target.contains(box):
            return Verdict((Criterion.LOCAL,), f"{box} is changed, and the answer is read from {edit.target}")
        alike = ssim_outside(image, edit.image, edit.target)
        if alike < self.min_ssim:
            return Verdict((Criterion.REST_UNCHANGED,), f"SSIM outside is {alike:.4f}, below {self.min_ssim}")
        return Verdict()
