"""AppWorld as an environment: one tool that runs Python in a REPL which keeps its variables."""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cleartrace.environments.appworld import data, report
from cleartrace.environments.appworld.process import Process, TimeLimit
from cleartrace.environments.install import places
from cleartrace.environments.protocol import Action, CallResult, EnvironmentFault, Observation
from cleartrace.environments.registry import MissingPackage
from cleartrace.environments.splits import of_split
from cleartrace.episodes.types import Outcome, Task
from cleartrace.llm.protocol import ToolCall, ToolSpec
from cleartrace.trajectory.record import written

TOOL = "execute"
IMPORT_S, START_S, EVALUATE_S, GRACE_S = 100.0, 50.0, 50.0, 10.0
"""Seconds for the package to be imported, to build a world, to judge one, and to stop code by itself. With the default
limit of an execution they stay under what a `Host` allows: 120 s to come up, 60 s for a call."""

RULES = """You act for a person, your supervisor, in their apps: mail, phone, shopping, music, payments, notes,
files and others. You do everything by Python code given to the tool `execute`. It is one session: what you define
stays, and you see what your code prints. The object `apis` holds every app: `apis.<app>.<api>(...)`.

You know no API by heart. Look them up first: `apis.api_docs.show_app_descriptions()` lists the apps,
`apis.api_docs.show_api_descriptions(app_name=...)` the APIs of one, and `apis.api_docs.show_api_doc(app_name=...,
api_name=...)` says what one takes and returns. Most APIs want an access token: log in to that app with the
supervisor's account, whose passwords `apis.supervisor.show_account_passwords()` gives. Lists come in pages; go
through all of them. Change nothing that the task does not ask for, and ask no questions: nobody answers.

When all is done, call `apis.supervisor.complete_task()`, with `answer=...` when the task asks for one: the value
alone, as short as it can be. That ends the task."""

DOMAIN = """Agents carry out errands in a simulated set of apps (mail, phone, shopping, music, payments, notes,
files, task lists) for a person, by writing Python code in a persistent session that calls the apps' APIs. They have
to look up APIs before they call them, log in with the person's own credentials, read all pages of a list, tell
people, dates and accounts apart, and leave everything else as it was. Tests on the final state of all apps decide;
a task counts when every test passes, and a scenario when all of its variants do."""

SECTIONS: Mapping[str, str] = {
    "looking up APIs": "how to find the right API and what to read in its documentation before the first call",
    "logging in": "credentials, access tokens, which account belongs to whom",
    "lists and pages": "how to read everything: pages, limits, filters, sorting, and what is easily missed",
    "people and relations": "who is meant by a name or a relation, and where contacts and relations are kept",
    "dates and amounts": "the date of the task, time spans, rounding, currencies, shares",
    "changing things": "how to change what was asked and nothing else; what to check before and after",
    "answering": "when an answer is wanted, in which form, and how a task is completed",
    "errors": "error messages of the APIs, what they mean, and how code should react",
}

EXECUTE = ToolSpec(
    name=TOOL,
    description="Runs Python code in the session and returns what it prints, or the error it ends with.",
    parameters={
        "type": "object",
        "properties": {"code": {"type": "string", "description": "the code to run"}},
        "required": ["code"],
        "additionalProperties": False,
    },
)


class AppWorld:
    """Tasks of AppWorld.

    Args:
        root: the folder in which `appworld download data` was run.
        python: the interpreter that has the package, prepared with `appworld install`. "" takes the one that
            `cleartrace environments install appworld` made.
        output_chars: longer output of one execution is cut.
        execute_s: seconds that one execution may take. The package's own default is 100; give a host a longer
            `call_limit_s` with it.
        raise_on_failure: whether a failing API call raises in the agent's code. The package's own solutions want False.

    One process serves all sessions of an environment, one at a time. A world is the same for every seed of a run.
    """

    name = "appworld"
    domain = " ".join(DOMAIN.split())
    sections = SECTIONS

    def __init__(
        self,
        root: str,
        python: str = "",
        output_chars: int = 12_000,
        execute_s: float = 40.0,
        raise_on_failure: bool = True,
    ) -> None:
        self.root = Path(root).resolve()
        self.output_chars, self.execute_s = output_chars, execute_s
        self.raise_on_failure = raise_on_failure
        self._python = python or _installed()
        self._tasks = {task.id: task for task in data.read_tasks(self.root)}
        self._session: Repl | None = None
        # Importing the package takes longer than building a world: that belongs to the time in which a host comes up.
        self._process = Process(self._python, self.root)
        self.version = _version(self._process)

    def tasks(self, split: str | None = None) -> Sequence[Task]:
        return of_split(list(self._tasks.values()), split)

    def session(self, task_id: str, seed: int) -> Repl:
        return Repl(self, self._task(task_id))

    def gold(self, task_id: str, seed: int) -> list[Action] | None:
        """Of train and dev. Replay it with `raise_on_failure` off, as the package does."""
        code = data.solution(self.root, self._task(task_id).id)
        if code is None:
            return None
        return [Action(calls=(ToolCall(id="gold", name=TOOL, arguments={"code": code}),))]

    def _task(self, task_id: str) -> Task:
        if task_id not in self._tasks:
            raise ValueError(f"appworld has no task {task_id!r} in {self.root}")
        return self._tasks[task_id]

    def begin(self, session: Repl) -> Process:
        """The process, for a session that starts now; the one before it ends."""
        if self._session is not None and self._session is not session:
            self._session.close()
        self._session = session
        if not self._process.alive:
            self._process = Process(self._python, self.root)
        return self._process

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
        self._process.kill()


def _version(process: Process) -> str:
    try:
        return str(process.call("about", IMPORT_S)["version"])
    except EnvironmentFault as error:
        if "ModuleNotFoundError" in str(error):
            raise MissingPackage(
                f"{error}: give `python`, an interpreter that has it after `appworld install`"
            ) from None
        raise


def _installed() -> str:
    for place in places():
        python = place / "appworld" / "bin" / "python"
        if python.exists():
            return str(python)
    raise MissingPackage("appworld needs an interpreter with its package: cleartrace environments install appworld")


class Repl:
    """One task in one world, which is built once (R23). A message without a call ends it."""

    def __init__(self, environment: AppWorld, task: Task) -> None:
        self._environment = environment
        self._task = task
        # The package writes a world's state under this name: two runs of a task must not share one.
        self._experiment = f"cleartrace-{secrets.token_hex(8)}"
        self._process: Process | None = None
        self._completed = self._stuck = self._closed = False

    def start(self) -> Observation:
        if self._process is not None or self._closed:
            raise EnvironmentFault("appworld: a session starts once")
        self._process = self._environment.begin(self)
        settings = {
            "experiment_name": self._experiment,
            "timeout_seconds": max(1, round(self._environment.execute_s)),
            "raise_on_failure": self._environment.raise_on_failure,
        }
        facts = self._process.call("start", START_S, task_id=self._task.id, settings=settings)
        return Observation(system=_paragraphs(RULES), text=_first_message(facts), tools=(EXECUTE,))

    def act(self, action: Action) -> Observation:
        if not action.calls:
            return Observation(done=True)
        results = tuple(self._answer(call) for call in action.calls)
        return Observation(results=results, tools=(EXECUTE,), done=self._completed or self._stuck)

    def _answer(self, call: ToolCall) -> CallResult:
        if self._completed or self._stuck:
            return CallResult(call_id=call.id, text="Not executed: the task has ended.", is_error=True)
        code = (call.arguments or {}).get("code")
        if call.name != TOOL or not isinstance(code, str):
            text = f"Call the tool {TOOL} with the argument `code`, a text."
            return CallResult(call_id=call.id, text=text, is_error=True)
        limit_s = self._environment.execute_s
        try:
            answer = self._running().call("execute", limit_s + GRACE_S, code=written(code))
        except TimeLimit:
            self._stuck = True
            return CallResult(call_id=call.id, text=f"The code ran for more than {limit_s:g} s.", is_error=True)
        self._completed = bool(answer["completed"])
        text = _cut(written(str(answer["output"])) or "", self._environment.output_chars)
        return CallResult(call_id=call.id, text=text, is_error=text.startswith("Execution failed."))

    def outcome(self) -> Outcome:
        if self._stuck:
            return report.stuck(self._environment.execute_s)
        return report.outcome(self._running().call("evaluate", EVALUATE_S), self._completed)

    def _running(self) -> Process:
        if self._process is None or self._closed:
            raise EnvironmentFault("appworld: the session is not open")
        return self._process

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._process is not None and self._process.busy:
            self._process.kill()
        elif self._process is not None and self._process.alive:
            with contextlib.suppress(EnvironmentFault):
                self._process.call("close", GRACE_S)
        folder = self._environment.root / "experiments" / "outputs" / self._experiment
        shutil.rmtree(folder, ignore_errors=True)


def _first_message(facts: Mapping[str, Any]) -> str:
    person = facts["supervisor"]
    apps = "\n".join(f"- {name}: {text}" for name, text in facts["apps"].items())
    return (
        f"Your supervisor is {person['first_name']} {person['last_name']}, mail {person['email']}, phone "
        f"{person['phone_number']}. It is {facts['datetime']}.\n\nApps:\n{apps}\n\nTask: {facts['instruction']}"
    )


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}\n[{len(text) - limit} more characters were cut]"


def _paragraphs(text: str) -> str:
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
