"""The judge of an offline run: one that is there, or one started for it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from cleartrace.evaluate.settings import JudgeSettings
from cleartrace_verl.judge_env import JUDGE_TOKEN_VARIABLE, JUDGE_URL_VARIABLE


@contextlib.contextmanager
def judge(settings: JudgeSettings, log_dir: Path) -> Iterator[str]:
    """Put a judge's address where tools and graders look for it; gives the address.

    Raises JudgeUnavailable when the started one does not come up. A given one keeps its token in CODE_JUDGE_TOKEN.
    """
    if settings.url:
        with _environment({JUDGE_URL_VARIABLE: settings.url}):
            yield settings.url
        return
    from code_judge.embedded import EmbeddedJudge

    limits = {"MAX_EXECUTION_TIME": str(settings.time_limit_s)}
    with contextlib.ExitStack() as stack:
        running = stack.enter_context(EmbeddedJudge(log_dir, settings.workers, environment=limits))
        stack.enter_context(_environment({JUDGE_URL_VARIABLE: running.url, JUDGE_TOKEN_VARIABLE: running.token}))
        yield running.url


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
