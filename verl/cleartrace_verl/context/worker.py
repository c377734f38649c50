"""veRL's training workers with the context-awareness pass."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from functools import partial
from typing import Any

from tensordict import TensorDict
from verl.single_controller.base.decorator import Dispatch, register
from verl.utils import tensordict_utils as tu
from verl.workers.engine_workers import ActorRolloutRefWorker

from cleartrace_verl.context.checks import context_config
from cleartrace_verl.context.engine import MODEL_TYPE
from cleartrace_verl.context.passes import ContextPass
from cleartrace_verl.context.setup import build_pass
from cleartrace_verl.workers import CpuTrainingWorker

STEP_KEY = "context_step"
SCORE_KEY = "context_score"


class Score(str, Enum):
    """When an update also scores the held-out pairs."""

    NEVER = "never"
    BEFORE = "before"
    AFTER = "after"
    BOTH = "both"

    @classmethod
    def of(cls, *, before: bool, after: bool) -> Score:
        """The score that is due on either side of an update."""
        return {(False, False): cls.NEVER, (True, False): cls.BEFORE, (False, True): cls.AFTER}.get(
            (before, after), cls.BOTH
        )


class ContextTrainingWorker(CpuTrainingWorker):
    """Runs the context pass inside each optimizer step, between the policy gradient and its clipping."""

    def __init__(self, config: Any):
        super().__init__(replace(config, model_type=MODEL_TYPE))
        self._context: ContextPass | None = None
        self._optimizer_step = 0

    def use(self, context: ContextPass) -> None:
        """From now on, updates learn from pairs."""
        self._context = context

    def train_mini_batch(self, data: TensorDict) -> TensorDict | None:
        """As veRL's. `data` says which optimizer step of the run comes first, and when held-out pairs are scored."""
        assert self._context is not None, "use() comes before the first update"
        self._optimizer_step = tu.pop(data, STEP_KEY)
        when = Score(tu.pop(data, SCORE_KEY))
        scores = {}
        if when in (Score.BEFORE, Score.BOTH):
            scores |= {f"ca/start/{name}": value for name, value in self._context.score_held_out().items()}
        output: Any = super().train_mini_batch(data)
        if when in (Score.AFTER, Score.BOTH):
            scores |= {f"ca/{name}": value for name, value in self._context.score_held_out().items()}
        if output is not None:
            tu.get(output, "metrics").update(scores)
        return output

    def train_batch(self, data: TensorDict) -> TensorDict | None:
        """One optimizer step on policy rows and pairs."""
        assert self._context is not None
        engine: Any = self.engine
        engine.before_step = partial(self._context.run, self._optimizer_step)
        self._optimizer_step += 1
        try:
            output: Any = super().train_batch(data)
        finally:
            engine.before_step = None
        if output is not None:
            tu.get(output, "metrics").update({f"ca/{name}": value for name, value in self._context.metrics.items()})
        return output


class ContextActorRolloutRefWorker(ActorRolloutRefWorker):
    """The hybrid worker over `ContextTrainingWorker`; the reference policy keeps the plain one."""

    actor_worker_cls = ContextTrainingWorker
    ref_worker_cls = CpuTrainingWorker

    @register(dispatch_mode=Dispatch.ONE_TO_ALL)  # pyright: ignore[reportAttributeAccessIssue]
    def init_model(self) -> None:
        """As veRL's, then read and check the pairs."""
        super().init_model()
        if self._is_actor:
            assert isinstance(self.actor, ContextTrainingWorker)
            self.actor.use(build_pass(context_config(self.config), self.actor))
