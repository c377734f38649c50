"""ScienceWorld (Wang et al. 2022, arXiv:2203.07540; PyPI `scienceworld`): 30 kinds of school science tasks in a house.

7,207 tasks: 3,592 train, 1,796 dev, 1,819 test, as the package splits the variations of each kind. The score is the
package's own, 0 to 100, as 0 to 1; a negative one, which ends a game, counts as 0. Needs Java.
"""

# pyright: reportMissingImports=false
# The package lives in a virtual environment of its own, where this module runs.

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from cleartrace.environments.splits import of_split
from cleartrace.environments.textgame import Standing, Step, TextGames, listing, package_version
from cleartrace.episodes.types import Task

SPLITS = ("train", "dev", "test")
SIMPLIFICATIONS = (
    "easy",
    "teleportAction",
    "selfWateringFlowerPots",
    "openContainers",
    "openDoors",
    "noElectricalAction",
)
"""What the package can make easier; `easy` is all of it."""

_PLANES = re.compile(r"planes \(([^(),]+), ([^(),]+)\)")

RULES = """You are in a small simulated house with a workshop, a greenhouse and the outdoors. Do the science task that
you are given, one command at a time. A command names what you do and the things you do it to, as the game calls them.
`focus on` something tells the game that this is the thing the task is about: do it only when the task asks for it,
since focusing on a wrong thing can end the task. Devices need time: `wait` lets ten steps pass, `wait1` one. When the
game asks which of several things you mean, the command is the number alone. The task ends by itself when it is done."""

DOMAIN = """Agents do primary-school science experiments in a text simulation: changing states of matter, measuring
temperatures, building electrical circuits, testing conductivity, finding and classifying living things, growing plants,
mixing substances, comparing life spans, friction and slopes, and finding out how traits are inherited. They move
between the rooms of a house, carry and use objects, and read results off devices. Most tasks need the agent to say
which object it works on (focus) at the right moment, to do long chains of steps without losing track, and to wait for
slow processes. The score counts the sub-goals that were reached; a wrong focus ends a task early."""

SECTIONS: Mapping[str, str] = {
    "finding things": "where objects, devices and substances tend to be, and how to search rooms without wasted steps",
    "commands": "wording that the game accepts, what its answers mean, how to resolve an ambiguous request",
    "procedures": "chains of steps that carry out an experiment of one kind, from the first command to the last",
    "focus and finish": "when to focus on what, how a task is brought to its end, what ends it too early",
    "science": "facts of this world: melting points, conductors, life stages, inheritance, mixtures",
    "mistakes": "what went wrong before, how to notice it early, and what to do instead",
}


class ScienceWorld(TextGames[Any]):
    """The tasks of ScienceWorld.

    Args:
        simplifications: of the package, separated by commas: `easy` for all, or some of `teleportAction`,
            `selfWateringFlowerPots`, `openContainers`, `openDoors`, `noElectricalAction`.

    A task's id is its kind and variation, `boil_3`; its group is the kind. Splits follow the package: the same kind is
    in all three, with other variations.
    """

    name = "scienceworld"
    rules = " ".join(RULES.split())
    domain = " ".join(DOMAIN.split())
    sections = SECTIONS

    def __init__(self, simplifications: str = "") -> None:
        super().__init__()
        self.version = package_version("scienceworld", self.name)
        chosen = [part.strip() for part in simplifications.split(",") if part.strip()]
        if unknown := [part for part in chosen if part not in SIMPLIFICATIONS]:
            raise ValueError(f"unknown simplification {unknown[0]!r}; ScienceWorld has {', '.join(SIMPLIFICATIONS)}")
        self._simplifications = ",".join(chosen)
        self._tasks: list[Task] = []
        self._kinds: dict[str, int] = {}

    def _launch(self) -> Any:
        # Without the package, pyright takes this very file for it.
        from scienceworld import ScienceWorldEnv  # pyright: ignore[reportAttributeAccessIssue]

        simulator = ScienceWorldEnv()
        self._kinds = {kind: simulator.get_max_variations(kind) for kind in simulator.task_names}
        return simulator

    def tasks(self, split: str | None = None) -> Sequence[Task]:
        """Starts the simulator; the first call takes some seconds."""
        if not self._tasks:
            self.machine.claim()
            with self.machine.use() as simulator:
                self._tasks = [task for kind in self._kinds for task in self._of_kind(simulator, kind)]
        return of_split(self._tasks, split)

    def _of_kind(self, simulator: Any, kind: str) -> list[Task]:
        simulator.server.load(kind, 0, "", False)  # the splits are those of the loaded kind
        maker = simulator.server.taskMaker().getTask(kind).get()
        folds = (simulator.get_variations_train, simulator.get_variations_dev, simulator.get_variations_test)
        split_of = {variation: name for name, fold in zip(SPLITS, folds, strict=True) for variation in fold()}
        return [
            Task(
                environment=self.name,
                id=f"{kind}_{variation}",
                # The goals of a task know its description: building the world for each would take a quarter of an hour.
                input=_settled(maker.setupGoals(variation).description()),
                split=split_of[variation],
                group=kind,
            )
            for variation in range(self._kinds[kind])
        ]

    def _parse(self, task_id: str) -> tuple[str, int]:
        kind, _, number = task_id.rpartition("_")
        if kind not in self._kinds or not number.isdecimal() or int(number) >= self._kinds[kind]:
            raise ValueError(f"scienceworld has no task {task_id!r}; an id is a kind and a variation, like boil_3")
        return kind, int(number)

    def _open(self, simulator: Any, task_id: str, gold: bool) -> None:
        kind, variation = self._parse(task_id)
        if "noElectricalAction" in self._simplifications and ("power-component" in kind or "conductivity" in kind):
            raise ValueError(f"task {task_id!r} needs the electrical actions that noElectricalAction takes away")
        error = simulator.server.load(kind, variation, self._simplifications, gold)
        if error:
            raise ValueError(f"scienceworld cannot load {task_id!r}: {error}")

    def _load(self, simulator: Any, task_id: str) -> str:
        self._open(simulator, task_id, gold=False)
        # The package's reset() builds the world a second time and then looks around; one building gives the same.
        return f"{_settled(simulator.get_task_description())}\n\n{simulator.server.step('look around').strip()}"

    def _step(self, simulator: Any, command: str) -> Step:
        text = simulator.server.step(command)
        done = simulator.server.getCompleted() or simulator.server.getScore() < 0
        return Step(text, text.startswith(("No known action", "Unknown action")), bool(done))

    def _options(self, simulator: Any, containing: str) -> str:
        if containing:
            fitting = [text for text in simulator.get_valid_action_object_combinations() if containing in text]
            return listing(f"Commands that contain {containing!r}:", fitting)
        forms = listing("Forms of commands:", simulator.get_possible_actions())
        return f"{forms}\n{listing('Things here (OBJ):', simulator.get_possible_objects())}"

    def _standing(self, simulator: Any) -> Standing:
        score = round(100 * simulator.server.getScore())
        return Standing(
            score=score / 100,
            feedback=f"Score {score} of 100. Sub-goals at the end:\n{simulator.get_goal_progress()}",
            details={"score_100": score, "moves": simulator.get_num_moves()},
        )

    def _solution(self, simulator: Any, task_id: str) -> Sequence[str]:
        self._open(simulator, task_id, gold=True)
        return list(simulator.server.getGoldActionSequence())


def _settled(description: str) -> str:
    """With the two planes of an `inclined-plane` task in alphabetical order: the package draws their order anew each
    time it is asked, and a task's text must not change.

    Example:
        >>> _settled("Which of the two inclined planes (tin, lead) is steeper? ")
        'Which of the two inclined planes (lead, tin) is steeper?'
    """
    return _PLANES.sub(lambda found: f"planes ({', '.join(sorted(found.groups()))})", description.strip())
