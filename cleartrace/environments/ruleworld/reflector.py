"""A reflector without a model: it knows the world, and tells the truth about a failure as often as it is set to.

What is assumed here decides what a study with it can show. Assumptions are the fields of `Insight`; none is measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from cleartrace.context.playbook.types import Playbook
from cleartrace.environments.ruleworld.causes import (
    Cause,
    Diagnosis,
    diagnose,
    entry_with,
    false_rule,
    idle_advice,
    is_true,
    used_entries,
)
from cleartrace.environments.ruleworld.rules import Rule, rules_in
from cleartrace.environments.ruleworld.streams import stream
from cleartrace.environments.ruleworld.world import Order, World
from cleartrace.learn.protocol import (
    CoverageGap,
    EntryVerdict,
    FailureType,
    Reflection,
    RootCause,
    Signal,
    Tag,
)

ADD, CORRECT = "Add:", "Correct"
"""How a suggestion begins in `Reflection.analysis`: `Add: text` or `Correct e3: text`."""


@dataclass(frozen=True)
class Insight:
    """Assumptions about a reflector, all chosen.

    Args:
        reveals: chance that a missing or wrong rule is stated as it is; `misreads`: that it is stated wrongly.
            Otherwise the advice is idle. `reveals_in_group`: where another run passed and shows what was right.
        sees_luck: chance to see from one failed run that nothing was missing; `sees_luck_in_group`: the same where
            another run of the task passed with the same context.
        sees_intractable: chance to see that nothing would have helped.
        edits_anyway: chance that an edit is suggested although luck or an intractable task was seen. Only where no
            failure type is asked for: with one, the mutator is told.
        blames: chance that the unseen cause is laid at an entry that was used, which is then `corrected`.
        mistagged: chance that a used entry gets a random tag; `mistagged_cited`: where the run says what it used.
        bystanders: chance that an unused entry is called harmful in a failed run that does not say what it used.
        pools: batched reflection adds up what several tasks show of one rule.
    """

    reveals: float = 0.6
    reveals_in_group: float = 0.8
    misreads: float = 0.1
    sees_luck: float = 0.5
    sees_luck_in_group: float = 0.9
    sees_intractable: float = 0.5
    edits_anyway: float = 0.5
    blames: float = 0.25
    mistagged: float = 0.3
    mistagged_cited: float = 0.05
    bystanders: float = 0.03
    pools: bool = True


@dataclass(frozen=True)
class Finding:
    """On one signal: what the reflector believes, and what it would change ('' nothing)."""

    believed: Cause
    suggestion: str


class ScriptedReflector:
    """Implements `learn.protocol.Reflector`.

    Args:
        auxiliary: failure type, root cause and gaps are asked for.
        batched: several signals are one reflection.
    """

    def __init__(
        self, world: World, insight: Insight | None = None, *, auxiliary: bool = False, batched: bool = False
    ) -> None:
        self.world = world
        self.insight = insight or Insight()
        self.auxiliary = auxiliary
        self.batched = batched

    async def reflect(self, signals: Sequence[Signal], playbook: Playbook, seed: int) -> tuple[Reflection, ...]:
        shown = self._shown_by(signals) if self.batched and self.insight.pools else {}
        made, said = [], set[Rule]()
        for signal in signals:
            draw = stream(seed, "reflect", signal.task.id)
            finding = self._finding(signal, playbook, draw, shown, said)
            made.append(self._reflection(signal, playbook, finding, draw))
        return (_joined(made),) if self.batched and len(made) > 1 else tuple(made)

    def _shown_by(self, signals: Sequence[Signal]) -> dict[Rule, int]:
        """How many signals miss each rule."""
        counts: dict[Rule, int] = {}
        for signal in signals:
            for rule in self._diagnosis(signal).missing:
                counts[rule] = counts.get(rule, 0) + 1
        return counts

    def _diagnosis(self, signal: Signal) -> Diagnosis:
        return diagnose(self.world.order(signal.task.id), signal.episodes[0].trajectory.context.text)

    def _finding(
        self, signal: Signal, playbook: Playbook, draw: Random, shown: dict[Rule, int], said: set[Rule]
    ) -> Finding:
        """`said`: rules already suggested in this call, which are not said twice."""
        order = self.world.order(signal.task.id)
        if all(one.outcome.passed for one in signal.episodes):
            return Finding(Cause.LUCK, "")
        truth = self._diagnosis(signal)
        if truth.cause in (Cause.GAP, Cause.MISLED):
            return Finding(truth.cause, self._remedy(truth, signal, playbook, draw, shown, said))
        if draw.random() < self._sees(truth.cause, signal):
            edit = not self.auxiliary and draw.random() < self.insight.edits_anyway
            return Finding(truth.cause, self._invention(order, playbook, draw) if edit else "")
        return Finding(Cause.GAP, self._invention(order, playbook, draw))

    def _sees(self, cause: Cause, signal: Signal) -> float:
        if cause is Cause.INTRACTABLE:
            return self.insight.sees_intractable
        return self.insight.sees_luck_in_group if signal.contrastive else self.insight.sees_luck

    def _remedy(
        self,
        truth: Diagnosis,
        signal: Signal,
        playbook: Playbook,
        draw: Random,
        shown: dict[Rule, int],
        said: set[Rule],
    ) -> str:
        """For a rule that is missing, or for an entry that is wrong."""
        rule = next((one for one in truth.missing if one not in said), None)
        if truth.missing and rule is None:
            return ""
        wrong = next((entry for one in truth.wrong if (entry := entry_with(playbook, one))), None)
        mark = rule.mark if rule else truth.wrong[0].mark
        right = rule or self.world.rule_of(mark)
        seen = self.insight.reveals_in_group if signal.contrastive else self.insight.reveals
        at, reveals = draw.random(), 1.0 - (1.0 - seen) ** (shown.get(rule, 1) if rule else 1)
        misreads = (1.0 - reveals) * self.insight.misreads / max(1e-9, 1.0 - self.insight.reveals)
        if at < reveals:
            if rule:
                said.add(rule)
            text = right.text if right else f"Items marked {mark} follow no rule and stay at the usual desk."
        elif at < reveals + misreads:
            text = false_rule(self.world, mark, draw).text
        else:
            return f"{ADD} {idle_advice(mark, draw)}"
        return f"{CORRECT} {wrong.id}: {text}" if wrong else f"{ADD} {text}"

    def _invention(self, order: Order, playbook: Playbook, draw: Random) -> str:
        """What is suggested where nothing was missing."""
        used = used_entries(order, playbook)
        if used and draw.random() < self.insight.blames:
            entry = draw.choice(used)
            mark = rules_in(entry.text)[0].mark
            return f"{CORRECT} {entry.id}: {false_rule(self.world, mark, draw).text}"
        return f"{ADD} {idle_advice(draw.choice(order.real).mark, draw)}"

    def _reflection(self, signal: Signal, playbook: Playbook, finding: Finding, draw: Random) -> Reflection:
        found = Reflection(
            task_ids=(signal.task.id,),
            episodes=tuple(one.id for one in signal.episodes),
            analysis=f"{signal.task.id}\n{finding.suggestion}".strip(),
            verdicts=self._verdicts(signal, playbook, draw),
        )
        if not self.auxiliary:
            return found
        kind, root = _AUXILIARY[finding.believed]
        advice = finding.suggestion.partition(": ")[2]
        gaps = (CoverageGap(situation=f"orders like {signal.task.id}", suggestion=advice),) if advice else ()
        return found.model_copy(update={"failure_type": kind, "root_cause": root, "gaps": gaps})

    def _verdicts(self, signal: Signal, playbook: Playbook, draw: Random) -> tuple[EntryVerdict, ...]:
        """Of the first run, which scored least."""
        order, run = self.world.order(signal.task.id), signal.episodes[0]
        passed = run.outcome.passed
        cited = any(one.trajectory.citations for one in (run, signal.probe) if one is not None)
        noise = self.insight.mistagged_cited if cited else self.insight.mistagged
        used = {entry.id for entry in used_entries(order, playbook)}
        made = []
        for entry in playbook.entries:
            if entry.id in used:
                truth = self._tag(is_true(self.world, entry), passed)
                tag = draw.choice(tuple(Tag)) if draw.random() < noise else truth
            elif not passed and not cited and draw.random() < self.insight.bystanders:
                tag = Tag.HARMFUL
            else:
                continue
            made.append(EntryVerdict(entry_id=entry.id, tag=tag))
        return tuple(made)

    @staticmethod
    def _tag(true: bool, passed: bool) -> Tag:
        if true:
            return Tag.HELPFUL if passed else Tag.NEUTRAL
        return Tag.NEUTRAL if passed else Tag.HARMFUL


_AUXILIARY = {
    Cause.GAP: (FailureType.ACTIONABLE_GAP, RootCause.KNOWLEDGE_GAP),
    Cause.MISLED: (FailureType.ACTIONABLE_GAP, RootCause.INTERFERENCE),
    Cause.LUCK: (FailureType.EXECUTION_VARIANCE, RootCause.CAPABILITY_GAP),
    Cause.INTRACTABLE: (FailureType.INTRACTABLE, RootCause.CAPABILITY_GAP),
}


def _joined(made: Sequence[Reflection]) -> Reflection:
    """One reflection over all. Its failure type is an actionable gap where any task's is."""
    kinds = [one.failure_type for one in made]
    actionable = next((one for one in made if one.failure_type is FailureType.ACTIONABLE_GAP), made[0])
    return Reflection(
        task_ids=tuple(id for one in made for id in one.task_ids),
        episodes=tuple(id for one in made for id in one.episodes),
        analysis="\n".join(one.analysis for one in made),
        verdicts=tuple(verdict for one in made for verdict in one.verdicts),
        failure_type=actionable.failure_type if any(kinds) else None,
        root_cause=actionable.root_cause,
        gaps=tuple(gap for one in made for gap in one.gaps),
    )
