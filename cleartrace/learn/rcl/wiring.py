"""What settings stand for: providers, policies, and what their names make."""

from __future__ import annotations

from collections.abc import Sequence

from cleartrace.context.playbook.types import Playbook
from cleartrace.context.providers.probing import Instructed, Probing
from cleartrace.context.providers.simple import PlaybookProvider
from cleartrace.episodes.types import Task
from cleartrace.learn.accept import AcceptancePolicy, Always, Credited, Paired, Pareto, Validation
from cleartrace.learn.rcl.config import Acceptance, RclConfig
from cleartrace.learn.rcl.loop import SettingsError
from cleartrace.learn.rcl.parts import Perturb, Provide


def providers(config: RclConfig) -> tuple[Provide, Perturb, Perturb]:
    """How a playbook is shown: plainly, in a probe, and with instructions in a run that counts.

    `playbook_budget` caps the text itself here too, should a playbook ever be longer.
    """
    cap = config.playbook_budget or None

    def provide(playbook: Playbook) -> PlaybookProvider:
        return PlaybookProvider(playbook, cap)

    return (
        provide,
        lambda provider, which: Probing(provider, which.value),
        lambda provider, which: Instructed(provider, which.value),
    )


def acceptance_of(config: RclConfig, train: Sequence[Task], validation: Sequence[Task]) -> AcceptancePolicy:
    """Raises `SettingsError` for a policy without the tasks that it needs."""
    policy = _policy(config, validation)
    return Credited(policy, tuple(train)) if config.credit_pruning else policy


def _policy(config: RclConfig, validation: Sequence[Task]) -> AcceptancePolicy:
    if config.acceptance is Acceptance.ALWAYS:
        return Always()
    if config.acceptance is Acceptance.PAIRED:
        return Paired()
    if not validation:
        raise SettingsError(f"acceptance={config.acceptance.value} needs validation tasks; name a val_split with some")
    return (Validation if config.acceptance is Acceptance.VALIDATION else Pareto)(tasks=tuple(validation))
