"""Is a task sound? With no change its tests fail, with the gold patch they pass. Both are run, in real sandboxes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from cleartrace.tools.shell import workspace
from cleartrace.tools.shell.config import ShellConfig
from cleartrace.tools.shell.evaluate import run_tests
from cleartrace.tools.shell.rows import WholeTask
from cleartrace.tools.shell.runtime import Evaluation, Runtime, SandboxLost, Verdict
from cleartrace.tools.shell.runtimes import make_runtime
from cleartrace.tools.shell.task import HiddenPart, ShellTask


@dataclass(frozen=True)
class Finding:
    """What both runs said. `sound` tasks can be learned from."""

    instance_id: str
    untouched: Evaluation
    gold: Evaluation

    @property
    def sound(self) -> bool:
        return self.untouched.verdict is Verdict.UNRESOLVED and self.gold.resolved

    @property
    def infra(self) -> bool:
        return Verdict.INFRA_ERROR in (self.untouched.verdict, self.gold.verdict)

    def line(self) -> str:
        """One line for people."""
        if self.sound:
            return f"{self.instance_id}: sound"
        detail = (self.gold.detail or self.untouched.detail).strip().replace("\n", " | ")[-200:]
        return f"{self.instance_id}: untouched {self.untouched.verdict.value}, gold {self.gold.verdict.value} {detail}"


async def check_task(runtime: Runtime, whole: WholeTask, config: ShellConfig) -> Finding:
    """Run the hidden tests on the repository as the model finds it, and on the solved one."""
    untouched = await run_tests(runtime, whole.task, whole.hidden, "", config)
    try:
        gold_patch = whole.hidden.gold_patch or await reverse_of_setup(runtime, whole.task, whole.hidden)
    except SandboxLost as error:
        return Finding(whole.task.instance_id, untouched, Evaluation(Verdict.INFRA_ERROR, detail=str(error)))
    gold = await run_tests(runtime, whole.task, whole.hidden, gold_patch, config)
    return Finding(whole.task.instance_id, untouched, gold)


async def reverse_of_setup(runtime: Runtime, task: ShellTask, hidden: HiddenPart) -> str:
    """The fix of a task whose bug is made by a diff: the diff the other way round. Raises SandboxLost."""
    sandbox = await runtime.open(task)
    try:
        base = await workspace.prepare(sandbox, hidden)
        await workspace.step(sandbox, f"{workspace.GIT} apply -R -", workspace.diff_bytes(hidden.setup_patch))
        return await workspace.working_diff(sandbox, base)
    finally:
        await sandbox.close()


def check_tasks(tasks: Iterable[WholeTask], config: ShellConfig) -> list[Finding]:
    """Check all tasks, as many at once as the configuration allows."""

    async def run() -> list[Finding]:
        runtime = make_runtime(config)
        return list(await asyncio.gather(*(check_task(runtime, whole, config) for whole in tasks)))

    return asyncio.run(run())
