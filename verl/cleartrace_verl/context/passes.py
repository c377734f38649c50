"""The context-awareness pass: forward and backward of one batch of pairs inside an optimizer step."""

from __future__ import annotations

import logging
import math
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch
from tensordict import TensorDict

from cleartrace.losses.context import average_orders, context_loss
from cleartrace.losses.context_metrics import SUMS, margin_metrics, margin_sums
from cleartrace.losses.context_options import ContextConfig
from cleartrace_verl.context import gradients
from cleartrace_verl.context.engine import ContextEngine
from cleartrace_verl.context.paths import letters_of_every_token, read
from cleartrace_verl.context.rows import BatchSettings
from cleartrace_verl.context.source import PairSource

logger = logging.getLogger(__name__)

ZERO_NORM = 1e-8
DEAD_ZONE = 0.10
DEAD_ZONE_STEPS = 20
MANY_PASSES = 5


class ContextLoss:
    """The loss that veRL's engine calls, once per micro-batch; it adds up what the margins say.

    On the path `processor` the engine calls it before that with `student_logits`, as its logits processor.

    Args:
        terms: loss terms of the whole batch over all ranks. Each micro-batch gives
            coef * sum(L_i) / terms * dp_size, so that any cut into micro-batches and ranks has the same gradient (W10).
    """

    def __init__(self, config: ContextConfig, settings: BatchSettings, *, coef: float, terms: int, dp_size: int):
        self._config, self._path = config, settings.path
        self._scale = coef * dp_size / terms
        self.sums = torch.zeros(len(SUMS), dtype=torch.float64)

    def __call__(
        self,
        model_output: dict[str, Any] | None = None,
        data: TensorDict | None = None,
        dp_group: Any = None,
        student_logits: torch.Tensor | None = None,
    ) -> Any:
        del dp_group
        assert data is not None
        if student_logits is not None:
            return letters_of_every_token(student_logits, data)
        assert model_output is not None
        answers = read(self._path, model_output, data)
        margin = average_orders(answers.margin) if self._config.debias else answers.margin
        loss = context_loss(
            margin,
            clip=self._config.clip,
            mode=self._config.clip_mode,
            label_smoothing=self._config.label_smoothing,
        )
        position = answers.first - answers.second
        self.sums += margin_sums(margin, loss, position, answers.mass, self._config.clip).cpu()
        model_output.clear()
        return loss.sum() * self._scale, {}


class ContextPass:
    """What a training worker does with pairs: learn from a batch per optimizer step, score the held-out ones."""

    def __init__(self, config: ContextConfig, engine: ContextEngine, source: PairSource, settings: BatchSettings):
        self._config, self._engine, self._settings = config, engine, settings
        self._source = source
        self._prefetcher = ThreadPoolExecutor(1, thread_name_prefix="pairs")
        self._prefetched: dict[int, Future[TensorDict]] = {}
        self._dead_steps = 0
        self._said_passes = False
        self.metrics: dict[str, float] = {}
        """Of the last `run`."""

    def run(self, step: int) -> None:
        """Add the gradient of lambda * L_CA to that of the policy loss. Every rank must call it (T8).

        Args:
            step: number of the optimizer step in the whole run, from 0.
        """
        self.metrics = {}
        if not self._source.is_active(step):
            return
        started = time.monotonic()
        coef, batch = self._config.coef_at(step), self._batch(step)
        every = self._config.grad_ratio_every
        measures = self._config.measures_gradients or bool(every and step % every == 0)
        sums, found = self._measured(batch, coef) if measures else (self._learn(batch, coef), {})
        self.metrics = {
            **found,
            **self._summary(sums),
            "coef": coef,
            "epoch": self._source.epoch(step),
            "rows": len(batch),
            "tokens": int(batch["input_ids"].values().numel()),
            "dropped": self._source.dropped,
            "seconds": time.monotonic() - started,
        }
        if "loss" in self.metrics:
            self.metrics["loss_weighted"] = coef * self.metrics["loss"]
        self._watch(self.metrics.get("frac_low", 0.0), int(self.metrics["epoch"]))

    def score_held_out(self) -> dict[str, float]:
        """Accuracy, margin and order consistency on this rank's share of the held-out pairs, added up over ranks."""
        correct = torch.zeros(4, dtype=torch.float64)
        with self._engine.eval_mode():
            for batch in self._source.held_out_batches():
                loss = _Recorder(self._config, self._settings)
                self._engine.forward_backward_batch(batch, loss, forward_only=True)
                correct += _held_out_sums(loss.margins())
        pairs, right, margin, consistent = self._over_ranks(correct).tolist()
        if not pairs:
            return {}
        return {
            "val_acc": right / (2 * pairs),
            "val_margin": margin / (2 * pairs),
            "val_order_consistency": consistent / pairs,
            "val_pairs": pairs,
        }

    def _learn(self, batch: TensorDict, coef: float) -> torch.Tensor:
        loss = ContextLoss(
            self._config,
            self._settings,
            coef=coef,
            terms=self._source.terms_per_batch,
            dp_size=self._engine.get_data_parallel_size(),
        )
        self._engine.forward_backward_batch(batch, loss)
        return loss.sums

    def _measured(self, batch: TensorDict, coef: float) -> tuple[torch.Tensor, dict[str, float]]:
        """As `_learn`, on gradients of its own, so that both norms are exact. All ranks decide alike."""
        parameters = [p for p in self._engine.module.parameters() if p.requires_grad]
        device = parameters[0].device
        policy = gradients.set_aside(parameters)
        policy_norm = gradients.norm(policy, device)
        if self._config.skip_when_rl_zero and policy_norm < ZERO_NORM:
            gradients.add(parameters, policy, own_scale=1.0)
            return torch.zeros(len(SUMS), dtype=torch.float64), {"skipped": 1.0}
        sums = self._learn(batch, coef)
        context_norm, limit = gradients.norm(gradients.of(parameters), device), self._config.max_grad_ratio
        allowed = math.inf if limit is None else limit * policy_norm
        scale = allowed / context_norm if context_norm > allowed else 1.0
        gradients.add(parameters, policy, own_scale=scale)
        # Where there is no policy gradient there is no ratio.
        ratio = {"grad_ratio": context_norm / policy_norm} if policy_norm >= ZERO_NORM else {}
        return sums, {**ratio, "grad_scale": scale, "skipped": 0.0}

    def _batch(self, step: int) -> TensorDict:
        """The batch of an optimizer step; the next one is made meanwhile."""
        ready = self._prefetched.pop(step, None) or self._prefetcher.submit(self._source.batch, step)
        following = step + self._config.every_n_steps
        self._prefetched = {following: self._prefetcher.submit(self._source.batch, following)}
        return ready.result()

    def _summary(self, sums: torch.Tensor) -> dict[str, float]:
        return dict(margin_metrics(self._over_ranks(sums)))

    def _over_ranks(self, sums: torch.Tensor) -> torch.Tensor:
        device = next(self._engine.module.parameters()).device
        total = sums.to(device)
        torch.distributed.all_reduce(total, group=self._engine.get_data_parallel_group())
        return total.cpu()

    def _watch(self, frac_low: float, epoch: int) -> None:
        if epoch >= MANY_PASSES and not self._said_passes:
            self._said_passes = True
            logger.warning(
                "Each pair has been seen %d times: compare ca/acc with ca/val_acc, and give more pairs, a smaller "
                "batch_size or every_n_steps where they part.",
                epoch,
            )
        self._dead_steps = self._dead_steps + 1 if frac_low > DEAD_ZONE else 0
        if self._dead_steps == DEAD_ZONE_STEPS and self._config.clip_mode.value == "two_sided":
            logger.warning(
                "More than %d %% of the pairs have had a margin below -%s for %d steps: they teach nothing. Set "
                "actor_rollout_ref.context_rl.clip_mode=upper, or an answer_prefix that takes the bias to one letter "
                "away (ca/position_bias).",
                round(100 * DEAD_ZONE),
                self._config.clip,
                DEAD_ZONE_STEPS,
            )


class _Recorder(ContextLoss):
    """Keeps the margin of each row. Rows come back in another order, so each says which it is."""

    def __init__(self, config: ContextConfig, settings: BatchSettings):
        super().__init__(config.model_copy(update={"debias": False}), settings, coef=0.0, terms=1, dp_size=1)
        self._seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def __call__(self, model_output: Any = None, data: Any = None, dp_group: Any = None, student_logits: Any = None):
        if student_logits is None:
            answers = read(self._path, model_output, data)
            self._seen.append((data["row"][:: len(data["row"]) // len(answers.first)].cpu(), answers.margin.cpu()))
        return super().__call__(model_output, data, dp_group, student_logits)

    def margins(self) -> torch.Tensor:
        """`[rows]` in the order of the batch."""
        rows, margins = (torch.cat(parts) for parts in zip(*self._seen, strict=True))
        return margins[rows.argsort()].double()


def _held_out_sums(margins: torch.Tensor) -> torch.Tensor:
    """Pairs, right rows, sum of margins and pairs whose two orders agree; both orders of a pair stand together."""
    right = (margins > 0).double()
    by_pair = right.unflatten(0, (-1, 2))
    agree = (by_pair[:, 0] == by_pair[:, 1]).double().sum()
    return torch.stack([right.new_tensor(len(by_pair)), right.sum(), margins.sum(), agree])
