"""Rendered scenes as a collection of questions, and as pairs by the editing pipeline."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from cleartrace.data.files import whole_file, write_json_lines
from cleartrace.pairs.make.scenes.catalog import sample_scene, scene_rng
from cleartrace.pairs.make.scenes.domain import Domain
from cleartrace.pairs.make.scenes.scene import Scene
from cleartrace.pairs.mine.images.edits import edit_pairs, images_folder
from cleartrace.pairs.mine.images.offline import MIN_SSIM, PixelVerifier, RerenderEditor
from cleartrace.pairs.mine.images.question import ImageQuestion

SOURCE = "scenes"
MAX_TRIES = 20
"""Scenes looked at for each one wanted; small kinds run out of pictures at some point."""


class TooFewScenes(ValueError):
    """There are not as many different pictures as were asked for."""


def different_scenes(count: int, seed: int, domains: Sequence[Domain]) -> list[tuple[Scene, int]]:
    """(scene, its number in the stream); neither a picture nor its edit occurs twice, so no split can share one.

    Errors: `TooFewScenes`.
    """
    seen: set[Scene] = set()
    found = []
    for number in range(count * MAX_TRIES):
        if len(found) == count:
            break
        scene = sample_scene(seed, number, domains)
        both = {scene, scene.edited(scene_rng(seed, number, "edit"))}
        if seen.isdisjoint(both):
            seen |= both
            found.append((scene, number))
    if len(found) < count:
        raise TooFewScenes(f"only {len(found)} different scenes were found; ask for fewer, or for more domains")
    return found


def make_scene_pairs(
    out: Path, scenes: int, seed: int, domains: Sequence[Domain], progress: Callable[[int], None] | None = None
) -> dict[str, int]:
    """Write the pairs file `out`, its pictures and its funnel. One edit for each scene, both directions.

    Errors: `TooFewScenes`.
    """
    found = different_scenes(scenes, seed, domains)
    editor = RerenderEditor({_id(seed, number): (scene, number) for scene, number in found}, seed)
    settings = {
        "source": SOURCE,
        "scenes": scenes,
        "seed": seed,
        "domains": [domain.value for domain in domains],
        "min_ssim": MIN_SSIM,
    }
    questions = _drawn(found, seed, images_folder(out))
    return edit_pairs(questions, editor, PixelVerifier(), out, settings, progress=progress)


def make_collection(out: Path, scenes: int, seed: int, domains: Sequence[Domain]) -> int:
    """Write scenes as questions for `mine-images`, with their pictures; returns how many. Errors: `TooFewScenes`."""
    folder = images_folder(out)
    questions = _drawn(different_scenes(scenes, seed, domains), seed, folder)
    base = out.parent.resolve()
    rows = (q.model_copy(update={"image": str(Path(q.image).relative_to(base))}).model_dump() for q in questions)
    return write_json_lines(out, rows)


def _id(seed: int, number: int) -> str:
    return f"{SOURCE}-{seed}-{number}"


def _drawn(found: Sequence[tuple[Scene, int]], seed: int, folder: Path) -> Iterator[ImageQuestion]:
    folder.mkdir(parents=True, exist_ok=True)
    for scene, number in found:
        name = _id(seed, number)
        path = folder.resolve() / f"{name}.png"
        if not path.exists():
            with whole_file(path) as partial:
                scene.render().save(partial, format="PNG")
        kind = f"{SOURCE}/{scene.domain.value}/{type(scene).__name__}"
        yield ImageQuestion(
            id=name, image=str(path), question=scene.question, answer=scene.answer, group=name, source=kind
        )
