"""What the loop is told. Names and defaults are the published ones (spec 2.4, 2.5); each is documented here, once.

Every setting has an effect, or is refused with what it needs (R18, design rule 13). An unknown one is refused with the
nearest known one.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from cleartrace.context.playbook.rules import MIN_CHARS
from cleartrace.learn.rcl.replay import ReplayRules
from cleartrace.learn.rcl.sampler import SamplingRules
from cleartrace.learn.rcl.select import SelectionRules


class Perturbation(str, Enum):
    """Sets of instructions that make an agent show what it relies on."""

    OFF = ""
    MINIMAL = "minimal"
    STANDARD = "standard"
    RICH = "rich"
    FULL = "full"


class Acceptance(str, Enum):
    """Who decides whether an edit stays. The published loop keeps every edit."""

    ALWAYS = "always"
    PAIRED = "paired"
    VALIDATION = "validation"
    PARETO = "pareto"


class Operations(str, Enum):
    """Edits that a mutator may ask for: ADD, UPDATE and DELETE, or MERGE and SPLIT (ours) too."""

    PUBLISHED = "published"
    ALL = "all"


Rule = tuple[tuple[str, ...], Callable[[Any], bool], str]
"""Settings, the condition without which they do nothing, and how that is said."""


def published(*flags: str) -> dict[str, Any]:
    """Further names of a field, on the command line and in YAML."""
    return {"flags": list(flags)}


class RclConfig(BaseModel):
    """Settings of the learning loop. Who is run, and by which models, is said elsewhere (`run_config.RunConfig`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    # Settings that a run may be continued under: they change how far it goes or what it leaves, not what it does.
    _free: ClassVar[frozenset[str]] = frozenset({"iterations", "checkpoint_interval"})
    # Settings that are younger than runs there may be: at their defaults they leave a digest as it was.
    _later: ClassVar[frozenset[str]] = frozenset({"operations", "leak_guard"})

    seed: int = Field(42, description="Every random stream derives from it.")
    iterations: int = Field(10, ge=1, description="How often to run, reflect and edit.")
    batch_size: int = Field(5, description="Tasks run in one iteration; 0 or less runs the whole pool.")
    mini_batch: int = Field(1, ge=1, description="Tasks reflected on in one iteration, at most.")
    single_pass: bool = Field(False, description="Visit every task once, shuffled; sets the number of iterations.")
    failure_replay_ratio: float = Field(
        0.0, ge=0, le=1, description="Share of the batch, and of the mini-batch, that comes from tasks that failed."
    )
    failure_replay_max_size: int = Field(0, ge=0, description="Failed tasks remembered; 0 for no limit.")
    failure_replay_unseen_first: bool = Field(True, description="Draw tasks never run before all others.")
    failure_replay_passes_to_graduate: int = Field(
        5, ge=0, description="Passes in a row after which a task is no longer replayed; 0 for never."
    )
    failure_replay_failures_to_evict: int = Field(
        3, ge=0, description="Failures in a row, after the first, at which a reflected task is given up; 0 for never."
    )
    group_size: int = Field(
        1, ge=1, description="Runs of each task in one iteration.", json_schema_extra=published("grouped_rollouts")
    )
    dual_trace: bool = Field(
        False, description="Run each task with probing instructions too; that run serves credit alone."
    )
    pp: bool = Field(False, description="Put the perturbation set into every run. Its runs count as they are.")
    perturbation_set: Perturbation = Field(
        Perturbation.OFF, description="Which instructions: minimal, standard, rich, full. dual_trace takes full."
    )
    reflection_threshold: float = Field(1.0, gt=0, le=1, description="Reflect on tasks with a run that scores less.")
    reflect_all_traces: bool = Field(False, description="Let passed tasks into the mini-batch too.")
    batched_reflection: bool = Field(False, description="Reflect on the whole mini-batch in one call.")
    auxiliary_losses: bool = Field(
        False, description="Ask for failure type, root cause and gaps; only gaps that an edit can close are edited."
    )
    variance_rollouts: int = Field(
        1, ge=0, description="With auxiliary_losses: extra runs, once, of a task that failed by chance."
    )
    add_only: bool = Field(False, description="Refuse every edit but additions.")
    operations: Operations = Field(
        Operations.PUBLISHED,
        description="Edits on offer: published (ADD, UPDATE, DELETE), or all (MERGE and SPLIT too).",
    )
    leak_guard: bool = Field(
        False, description="Refuse edits that say right answers of the tasks learned from, where they are known."
    )
    entry_char_cap: int = Field(
        0, ge=0, description=f"Longest entry in characters, at least {MIN_CHARS}; 0 for no limit."
    )
    prune_threshold: int = Field(0, ge=0, description="Drop entries with so many more harmful than helpful marks.")
    playbook_budget: int = Field(0, ge=0, description="Most tokens of the playbook, enforced; 0 for no limit.")
    use_optimization_state: bool = Field(
        False,
        description="Keep a memory of edits and what came of them for the mutator.",
        json_schema_extra=published("optimization_state"),
    )
    optimization_state_max_history: int = Field(10, ge=1, description="Rows that each list of that memory keeps.")
    acceptance: Acceptance = Field(Acceptance.ALWAYS, description="Who decides on edits: always keeps each one.")
    credit_pruning: bool = Field(
        False, description="After the edits, run without each entry that was blamed, and drop those that earn nothing."
    )
    val_interval: int = Field(1, ge=1, description="Validate every so many iterations.")
    skip_validation: bool = Field(False, description="Never validate; the last playbook counts as the best.")
    checkpoint_interval: int = Field(1, ge=1, description="Keep a copy of the playbook every so many iterations.")

    @classmethod
    def resolved(cls, values: Mapping[Any, Any]) -> dict[str, Any]:
        """`values` by the names of fields. Raises ValueError for a name that is unknown or given twice."""
        return _with_style(resolve_names(cls, values))

    @model_validator(mode="before")
    @classmethod
    def _names(cls, values: Any) -> Any:
        return cls.resolved(values) if isinstance(values, Mapping) else values

    @field_validator("group_size", mode="before")
    @classmethod
    def _zero_is_off(cls, value: Any) -> Any:
        return 1 if value == 0 and not isinstance(value, bool) else value

    @field_validator("entry_char_cap")
    @classmethod
    def _an_entry_fits(cls, value: int) -> int:
        if 0 < value < MIN_CHARS:
            raise ValueError(f"no entry fits: it has at least {MIN_CHARS} characters, got a cap of {value}")
        return value

    @model_validator(mode="after")
    def _each_has_an_effect(self) -> RclConfig:
        for names, needed, message in self._rules():
            for name in names:
                if getattr(self, name) != type(self).model_fields[name].default and not needed(self):
                    raise ValueError(f"{name} has no effect {message}")
        return self

    @classmethod
    def _rules(cls) -> tuple[Rule, ...]:
        return _RULES

    @property
    def perturbation(self) -> Perturbation:
        """The set in force; OFF where no run is perturbed."""
        return (self.perturbation_set or Perturbation.FULL) if self.dual_trace else self.perturbation_set

    @property
    def sampling(self) -> SamplingRules:
        return SamplingRules(
            batch_size=self.batch_size, ratio=self.failure_replay_ratio, unseen_first=self.failure_replay_unseen_first
        )

    @property
    def replay(self) -> ReplayRules:
        return ReplayRules(
            max_size=self.failure_replay_max_size,
            graduate=self.failure_replay_passes_to_graduate,
            evict=self.failure_replay_failures_to_evict,
        )

    @property
    def selection(self) -> SelectionRules:
        return SelectionRules(
            mini_batch=self.mini_batch,
            threshold=self.reflection_threshold,
            reflect_all=self.reflect_all_traces,
            replay_ratio=self.failure_replay_ratio,
        )

    def binding(self) -> dict[str, Any]:
        """Settings that a run cannot be continued without."""
        return self.model_dump(mode="json", exclude=set(self._free))

    @property
    def digest(self) -> str:
        """16 hexadecimal characters of the SHA-256 of `binding()`, without later settings at their defaults."""
        fields = type(self).model_fields
        silent = {name for name in self._later if getattr(self, name) == fields[name].default}
        values = {name: value for name, value in self.binding().items() if name not in silent}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


_STYLE = "reflector_prompt_style"
_RULES: tuple[Rule, ...] = (
    (("iterations",), lambda c: not c.single_pass, "with single_pass, which goes once through the tasks"),
    (
        ("failure_replay_ratio", "failure_replay_unseen_first"),
        lambda c: not c.single_pass,
        "with single_pass, which visits each task once",
    ),
    (
        (
            "failure_replay_max_size",
            "failure_replay_passes_to_graduate",
            "failure_replay_failures_to_evict",
        ),
        lambda c: c.failure_replay_ratio > 0,
        "without failure_replay_ratio above 0",
    ),
    (("failure_replay_unseen_first",), lambda c: c.batch_size > 0, "when a batch is the whole pool"),
    (("mini_batch",), lambda c: c.batch_size <= 0 or c.mini_batch <= c.batch_size, "beyond batch_size"),
    (("operations",), lambda c: not c.add_only, "beside add_only"),
    (("pp",), lambda c: bool(c.perturbation_set), "without perturbation_set"),
    (("pp",), lambda c: not c.dual_trace, "beside dual_trace: it would perturb the clean runs (S2)"),
    (("perturbation_set",), lambda c: c.pp or c.dual_trace, "without pp or dual_trace"),
    (("reflection_threshold",), lambda c: not c.reflect_all_traces, "with reflect_all_traces"),
    (("batched_reflection",), lambda c: c.mini_batch > 1, "with a mini_batch of 1"),
    (("variance_rollouts",), lambda c: c.auxiliary_losses, "without auxiliary_losses"),
    (("optimization_state_max_history",), lambda c: c.use_optimization_state, "without use_optimization_state"),
    (("val_interval",), lambda c: not c.skip_validation, "with skip_validation"),
)


def other_names(cls: type[BaseModel]) -> dict[str, str]:
    """Published name -> field."""
    found = {}
    for name, field in cls.model_fields.items():
        extra = field.json_schema_extra
        for flag in extra.get("flags", ()) if isinstance(extra, dict) else ():  # type: ignore[union-attr]
            found[str(flag)] = name
    return found


def _with_style(values: dict[str, Any]) -> dict[str, Any]:
    """The published `reflector_prompt_style` is the same switch as auxiliary_losses: `standard` or `enriched`."""
    style = values.pop(_STYLE, None)
    if style is None:
        return values
    if style not in ("standard", "enriched"):
        raise ValueError(f"{_STYLE} is standard or enriched, got {style!r}")
    if values.get("auxiliary_losses", style == "enriched") is not (style == "enriched"):
        raise ValueError(
            f"{_STYLE}={style} contradicts auxiliary_losses={values['auxiliary_losses']}: they are one switch"
        )
    return {**values, "auxiliary_losses": style == "enriched"}


def resolve_names(cls: type[BaseModel], values: Mapping[Any, Any]) -> dict[str, Any]:
    """`values` by the names of fields: published names and dashes are understood.

    Raises ValueError for an unknown name, with the nearest known one, and for a setting given twice.
    """
    others, resolved = other_names(cls), {}
    for given, value in values.items():
        name = str(given).replace("-", "_")
        name = others.get(name, name)
        if name not in cls.model_fields and name != _STYLE:
            near = difflib.get_close_matches(name, [*cls.model_fields, *others], n=1, cutoff=0.0)
            raise ValueError(f"there is no setting {given!r}; the nearest is {near[0]!r}")
        if name in resolved:
            raise ValueError(f"{name} is given twice, once as {given!r}")
        resolved[name] = value
    return resolved
