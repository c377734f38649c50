"""TextWorldExpress (Jansen and Cote 2022, arXiv:2208.01174; PyPI `textworld-express`): eight families of text games.

Each family has 3,000 games of fixed seeds: 1,000 each for train, dev and test. The score is the package's own, 0 to 1.
The package's solution wins 23,945 of the 24,000 games; in 55 dev games of `peckingorder` two things have one name, the
package takes the wrong one, and the game is lost. They stay tasks, as in the package. Needs Java.
"""

# pyright: reportMissingImports=false
# The package lives in a virtual environment of its own, where this module runs.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cleartrace.environments.splits import of_split
from cleartrace.environments.textgame import Standing, Step, TextGames, listing, package_version
from cleartrace.episodes.types import Task

SPLITS = ("train", "dev", "test")
FIRST_SEEDS = {"train": 0, "dev": 10_000, "test": 20_000}
GAMES_PER_FOLD = 1_000
FAMILIES = ("cookingworld", "twc", "coin", "mapreader", "arithmetic", "sorting", "simonsays", "peckingorder")

RULES = """You are playing a small text game. Do the task that you are given, one command at a time. Some moves cannot
be undone, and a wrong one can lose the game: the game is then over. The game also ends by itself when it is won."""

DOMAIN = """Agents play short text games of eight families: cooking a meal after a recipe, putting household objects
where they belong, finding a coin in a house, reading a map to fetch a coin, solving an arithmetic problem and fetching
the matching quantity, sorting objects by quantity, doing exactly what Simon says, and following instructions that
change step by step. They win by exploring without waste, by reading what the game tells them before acting, and by
keeping to the order that a task asks for. Some families are lost at the first wrong move."""

SECTIONS: Mapping[str, str] = {
    "exploring": "how to search a house: doors, containers, what to remember of a room",
    "commands": "wording that the games accept and what their answers mean",
    "family rules": "how one family of games is won and how it is lost, named by its family",
    "order of steps": "what has to happen before what: reading, carrying, preparing, placing",
    "counting": "quantities, units, comparisons, limits of what can be carried",
    "mistakes": "what went wrong before, how to notice it early, and what to do instead",
}


class TextWorldExpress(TextGames[Any]):
    """Games of TextWorldExpress.

    Args:
        families: which, separated by commas; all eight when empty.
        parameters: of the generator, in the package's own form, such as `numLocations=5, includeDoors=0`; they differ
            by family, so give them together with one family.

    A task's id is its family and seed, `coin_17`; its group is the family.
    """

    name = "textworld"
    rules = " ".join(RULES.split())
    domain = " ".join(DOMAIN.split())
    sections = SECTIONS

    def __init__(self, families: str = "", parameters: str = "") -> None:
        super().__init__()
        self.version = package_version("textworld-express", self.name)
        self._families = [part.strip() for part in families.split(",") if part.strip()] or list(FAMILIES)
        unknown = [family for family in self._families if family not in FAMILIES]
        if unknown:
            raise ValueError(f"unknown family {unknown[0]!r}; TextWorldExpress has {', '.join(FAMILIES)}")
        if parameters and len(self._families) > 1:
            raise ValueError("parameters differ by family: give them together with one family")
        self._parameters = parameters
        self._tasks: list[Task] = []
        self._last: Mapping[str, Any] = {}

    def _launch(self) -> Any:
        from textworld_express import TextWorldExpressEnv

        return TextWorldExpressEnv(envStepLimit=10**9)  # how long an agent may play is the runner's business

    def tasks(self, split: str | None = None) -> Sequence[Task]:
        """Starts the simulator; the first call takes some seconds."""
        if not self._tasks:
            self.machine.claim()
            with self.machine.use() as simulator:
                self._tasks = [task for family in self._families for task in self._of_family(simulator, family)]
        return of_split(self._tasks, split)

    def _of_family(self, simulator: Any, family: str) -> list[Task]:
        simulator.load(family, self._parameters)
        tasks = []
        for split in SPLITS:
            for seed in range(FIRST_SEEDS[split], FIRST_SEEDS[split] + GAMES_PER_FOLD):
                if family == "mapreader" or not tasks:  # the other families describe all their games in the same words
                    simulator.server.generateNewGame(seed, split, False)
                    text = simulator.getTaskDescription().strip()
                task = Task(environment=self.name, id=f"{family}_{seed}", input=text, split=split, group=family)
                tasks.append(task)
        return tasks

    def _open(self, simulator: Any, task_id: str, gold: bool) -> None:
        family, _, number = task_id.rpartition("_")
        split = _split_of(int(number)) if number.isdecimal() else None
        if family not in self._families or split is None:
            raise ValueError(f"textworld has no task {task_id!r}; an id is a family and a seed, like coin_17")
        _, self._last = simulator.reset(int(number), split, family, self._parameters, gold)

    def _load(self, simulator: Any, task_id: str) -> str:
        self._open(simulator, task_id, gold=False)
        return f"{simulator.getTaskDescription().strip()}\n\n{self._last['observation'].strip()}"

    def _step(self, simulator: Any, command: str) -> Step:
        text, _, done, self._last = simulator.step(command)
        return Step(text, text.startswith("Unknown action"), done)

    def _options(self, simulator: Any, containing: str) -> str:
        return listing("Commands:", sorted(text for text in self._last["validActions"] if containing in text))

    def _standing(self, simulator: Any) -> Standing:
        score, won, lost = float(self._last["score"]), self._last["tasksuccess"], self._last["taskfailure"]
        end = "won" if won else "lost" if lost else "not finished"
        return Standing(
            score=score,
            feedback=f"The game was {end} with score {score:.2f} of 1.",
            details={"won": bool(won), "lost": bool(lost), "moves": self._last["numMoves"]},
        )

    def _solution(self, simulator: Any, task_id: str) -> Sequence[str]:
        self._open(simulator, task_id, gold=True)
        return list(simulator.getGoldActionSequence())


def _split_of(seed: int) -> str | None:
    return next((split for split, first in FIRST_SEEDS.items() if first <= seed < first + GAMES_PER_FOLD), None)
