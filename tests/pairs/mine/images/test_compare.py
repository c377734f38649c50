"""Where two pictures differ, and what the pixel verifier makes of it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from cleartrace.pairs.make.scenes.scene import Box
from cleartrace.pairs.mine.images.compare import WINDOW, difference_box, ssim_map, ssim_outside
from cleartrace.pairs.mine.images.editing import Criterion, Edit
from cleartrace.pairs.mine.images.offline import PixelVerifier
from cleartrace.pairs.mine.images.question import ImageQuestion

QUESTION = ImageQuestion(id="q", image="q.png", question="How many?", answer="3", group="q", source="test")
TARGET = Box(20, 10, 40, 30)


def noise(seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (64, 96, 3), dtype=np.uint8))


def changed(image: Image.Image, box: Box, by: int = 60) -> Image.Image:
    pixels = np.asarray(image).astype(int)
    pixels[box.top : box.bottom, box.left : box.right] += by
    return Image.fromarray((pixels % 256).astype(np.uint8))


def test_the_box_of_a_change_is_exact():
    image = noise()
    assert difference_box(image, image) is None
    assert difference_box(image, changed(image, TARGET)) == TARGET
    assert difference_box(image, changed(image, TARGET, by=2), tolerance=254) is None
    with pytest.raises(ValueError, match="cannot be compared"):
        difference_box(image, image.resize((10, 10)))


def ssim_by_loops(a: Image.Image, b: Image.Image, row: int, column: int) -> float:
    """One window, straight from the formula."""
    x, y = (np.asarray(i.convert("L"), dtype=float)[row : row + WINDOW, column : column + WINDOW] for i in (a, b))
    c1, c2 = 2.55**2, 7.65**2
    cov = ((x - x.mean()) * (y - y.mean())).mean()
    return (
        (2 * x.mean() * y.mean() + c1)
        * (2 * cov + c2)
        / ((x.mean() ** 2 + y.mean() ** 2 + c1) * (x.var() + y.var() + c2))
    )


def test_ssim_is_the_formula_in_every_window():
    a, b = noise(0), noise(1)
    values = ssim_map(a, b)
    assert values.shape == (64 - WINDOW + 1, 96 - WINDOW + 1)
    for row, column in ((0, 0), (13, 40), (57, 89)):
        assert values[row, column] == pytest.approx(ssim_by_loops(a, b, row, column), abs=1e-9)


def test_ssim_outside_sees_only_windows_that_do_not_touch_the_box():
    image = noise()
    assert ssim_outside(image, changed(image, TARGET), TARGET) == pytest.approx(1.0, abs=1e-12)
    assert ssim_outside(image, changed(image, TARGET), Box(21, 10, 40, 30)) < 1.0
    assert ssim_outside(image, noise(1), Box(0, 0, 96, 64)) == 1.0


@pytest.mark.parametrize(
    ("edit", "failed"),
    [
        (Edit(changed(noise(), TARGET), "4", "", TARGET), None),
        (Edit(changed(noise(), TARGET), "3.0", "", TARGET), Criterion.ANSWER_CHANGES),
        (Edit(noise(), "4", "", TARGET), Criterion.ANSWER_CHANGES),
        (Edit(changed(noise(), Box(19, 10, 40, 30)), "4", "", TARGET), Criterion.LOCAL),
        (Edit(changed(noise(), TARGET), "4", ""), Criterion.LOCAL),
        (Edit(noise().resize((32, 32)), "4", "", TARGET), Criterion.REST_UNCHANGED),
    ],
    ids=["good", "same answer", "same picture", "outside", "no target", "other size"],
)
def test_the_pixel_verifier_names_the_criterion(edit, failed):
    verdict = PixelVerifier().verify(QUESTION, noise(), edit)
    assert verdict.failed == ((failed,) if failed else ())
    assert verdict.passed == (failed is None)
    assert bool(verdict.reason) == (failed is not None)


def test_restyling_within_the_tolerance_is_caught_by_ssim():
    image = noise()
    pixels = np.asarray(image).astype(int)
    soft = Image.fromarray((128 + (pixels - 128) * 0.8).astype(np.uint8))
    verdict = PixelVerifier(tolerance=40).verify(QUESTION, image, Edit(changed(soft, TARGET, 90), "4", "", TARGET))
    assert verdict.failed == (Criterion.REST_UNCHANGED,)
