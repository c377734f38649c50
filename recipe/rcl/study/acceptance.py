"""A16: what acceptance keeps when a third of the edits does harm and a third is useless, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from cleartrace.environments.ruleworld import Drafting, Habits, World
from cleartrace.learn.accept import AcceptancePolicy, Always, Bench, Case, Decision, Paired
from recipe.rcl.study.arms import Arm, Group
from recipe.rcl.study.bench import learn, true_success

ITERATIONS = 40
HARM = -0.005
"""An edit that lowers the true success by more than this is harmful; an idle line costs up to 0.004."""
THIRDS = Drafting(useless=1 / 3, harmful=1 / 3)


@dataclass
class Watched:
    """A policy, and the true effect on all tasks of every edit it judges. `edits`: (effect, kept)."""

    inner: AcceptancePolicy
    world: World
    edits: list[tuple[float, bool]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.inner.name

    async def decide(self, case: Case, bench: Bench, seed: int) -> Decision:
        decision = await self.inner.decide(case, bench, seed)
        current = case.current
        for verdict in decision.verdicts:
            edited = bench.apply(current, verdict.operations)
            if edited != current:
                effect = true_success(self.world, edited, None) - true_success(self.world, current, None)
                self.edits.append((effect, verdict.kept))
            current = edited if verdict.kept else current
        return decision


@dataclass(frozen=True)
class Side:
    """One run. `harmful`, `useful`: edits judged; `kept_...`: those that stayed."""

    success: float
    runs: int
    calls: int
    judged: int
    harmful: int
    kept_harmful: int
    useful: int
    kept_useful: int


@dataclass(frozen=True)
class Outcome:
    """Of one seed. `long`: always-accept with as many agent runs as the paired run used."""

    seed: int
    always: Side
    paired: Side
    long: Side


def compare(seed: int, coupling: float = 1.0, iterations: int = ITERATIONS) -> Outcome:
    """Equal worlds and seeds, once with each policy. `coupling`: share of runs with common luck."""
    arm = Arm("thirds", Group.OURS, habits=Habits(coupling=coupling), drafting=THIRDS)
    always = _side(arm, Always(), seed, iterations, None)
    paired = _side(arm, Paired(), seed, iterations, None)
    return Outcome(seed, always, paired, _side(arm, Always(), seed, 10_000, paired.runs))


def _side(arm: Arm, policy: AcceptancePolicy, seed: int, iterations: int, runs: int | None) -> Side:
    watched: list[Watched] = []

    def watch(world: World) -> AcceptancePolicy:
        watched.append(Watched(policy, world))
        return watched[0]

    curve = learn(replace(arm, policy=watch), seed, runs, iterations)
    edits, end = watched[0].edits, curve.points[-1]
    harmful = [kept for effect, kept in edits if effect < HARM]
    useful = [kept for effect, kept in edits if effect > 0]
    return Side(end.success, end.runs, end.calls, len(edits), len(harmful), sum(harmful), len(useful), sum(useful))
