"""GEPA (arXiv 2507.19457) through its own package, on our runner and our models.

The candidate has one component: the text that stands beside every task. GEPA chooses, rewrites and accepts; a run is
one metric call. Its own checkpoints (`run_dir`) resume it; runs that were made before come from the runner's store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cleartrace.agents.protocol import EpisodeRunner, RunRequest
from cleartrace.context.providers import Static
from cleartrace.episodes.render import clip, render
from cleartrace.episodes.types import Episode, Record, Task
from cleartrace.llm.protocol import LLM, BudgetExhausted, Message, Request, Role

COMPONENT = "context"


class GepaConfig(Record):
    """`max_runs`: agent runs in all, GEPA's metric calls. `minibatch`: tasks a rewrite is accepted on."""

    max_runs: int
    minibatch: int = 3
    strict: bool = True
    use_merge: bool = False
    trace_chars: int = 2000
    seed: int = 42


@dataclass(frozen=True)
class GepaResult:
    """`score`: mean on the validation tasks. `runs`: agent runs it asked for. `stopped`: why, '' for its own end."""

    text: str
    score: float
    candidates: int
    runs: int
    stopped: str = ""


class UnscoredRun(RuntimeError):
    """A run failed through no fault of the model after all retries. GEPA skips the iteration and goes on."""


@dataclass
class _Adapter:
    """GEPA's integration point. GEPA runs in a thread of its own; agents run on `loop`."""

    runner: EpisodeRunner
    model: LLM
    loop: asyncio.AbstractEventLoop
    config: GepaConfig
    cap: int | None
    stopped: str = ""
    propose_new_texts: Any = None
    _rewrites: int = field(default=0, init=False)

    def evaluate(self, batch: list[Task], candidate: dict[str, str], capture_traces: bool = False) -> Any:
        from gepa.core.adapter import EvaluationBatch

        provider = Static(candidate[COMPONENT], cap=self.cap)
        episodes = self._wait(self.runner.run([RunRequest(task, self.config.seed, provider) for task in batch]))
        scores = [_score(episode) for episode in episodes]
        outputs = [episode.trajectory.output for episode in episodes]
        traces = list(zip(batch, episodes, strict=True)) if capture_traces else None
        return EvaluationBatch(outputs=outputs, scores=scores, trajectories=traces)

    def make_reflective_dataset(
        self, candidate: dict[str, str], eval_batch: Any, components_to_update: list[str]
    ) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        rows = [
            {
                "Inputs": task.input,
                "Generated Outputs": clip(render(episode.trajectory, self.config.trace_chars), 16_000),
                "Feedback": f"score {episode.outcome.score}\n{episode.outcome.feedback}",
            }
            for task, episode in eval_batch.trajectories
        ]
        return {name: rows for name in components_to_update}

    def rewrite(self, prompt: str | list[dict[str, Any]]) -> str:
        """The model that GEPA asks for a new text."""
        messages: list[dict[str, Any]] = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        self._rewrites += 1
        request = Request(
            role=Role.MUTATOR,
            messages=tuple(Message(role=one["role"], content=str(one["content"])) for one in messages),
            seed=self.config.seed + self._rewrites,
        )
        return self._wait(self.model.complete(request)).text

    def _wait(self, work: Any) -> Any:
        future: Future[Any] = asyncio.run_coroutine_threadsafe(work, self.loop)
        try:
            return future.result()
        except BudgetExhausted as error:
            self.stopped = str(error)
            raise

    def exhausted(self, gepa_state: Any) -> bool:
        return bool(self.stopped)


async def gepa(
    runner: EpisodeRunner,
    model: LLM,
    seed_text: str,
    tasks: Sequence[Task],
    validation: Sequence[Task],
    config: GepaConfig,
    cap: int | None = None,
    run_dir: Path | None = None,
) -> GepaResult:
    """Improve `seed_text`. Raises ImportError without the package, and whatever its first evaluation raises."""
    try:
        from gepa.api import optimize
    except ImportError:
        raise ImportError("GEPA needs its package: pip install 'cleartrace[gepa]'") from None
    adapter = _Adapter(runner, model, asyncio.get_running_loop(), config, cap)
    found = await asyncio.to_thread(
        optimize,
        seed_candidate={COMPONENT: seed_text},
        trainset=list(tasks),
        valset=list(validation),
        adapter=adapter,
        reflection_lm=adapter.rewrite,
        reflection_minibatch_size=config.minibatch,
        acceptance_criterion="strict_improvement" if config.strict else "improvement_or_equal",
        use_merge=config.use_merge,
        max_metric_calls=config.max_runs,
        stop_callbacks=[adapter.exhausted],
        run_dir=None if run_dir is None else str(run_dir),
        logger=_Quiet(),
        seed=config.seed,
        raise_on_exception=False,
    )
    best = found.best_candidate
    text = best if isinstance(best, str) else best[COMPONENT]
    score = found.val_aggregate_scores[found.best_idx]
    return GepaResult(text, score, found.num_candidates, found.total_metric_calls or 0, adapter.stopped)


def _score(episode: Episode) -> float:
    if episode.outcome.score is None:
        failure = episode.outcome.failure
        raise UnscoredRun(f"task {episode.task_id}: {failure.message if failure else 'no score'}")
    return episode.outcome.score


class _Quiet:
    """GEPA prints to the terminal otherwise; progress is the caller's."""

    def log(self, message: str) -> None:
        pass
