"""A scripted agent in mini-swe-agent's form. It knows the fix; every command of it is run, and every result is real.

Its thoughts tell symptoms and never code, so that what supports a patch has to be read out of what the run found.
"""

from __future__ import annotations

import ast
import random
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field

from cleartrace.pairs.make.mutation.cases import Case, check_path
from cleartrace.pairs.make.mutation.mutators import Mutation
from cleartrace.pairs.make.mutation.subjects import Subject
from cleartrace.pairs.make.mutation.workspace import Workspace
from cleartrace.pairs.record import Message

SUBMIT = "echo MINI_SWE_AGENT_FINAL_OUTPUT && git add -A && git diff --cached"
MAX_OUTPUT = 10_000
CHECK_LINES = 16
SYSTEM = (
    "You repair software in a shell. Each of your answers has a THOUGHT and exactly one command in a bash block. "
    f"When you are done, answer with `{SUBMIT}`."
)


class AgentError(RuntimeError):
    """The scripted run did not go as planned, so nothing of it is kept."""


@dataclass
class Session:
    """Runs commands and writes down what an agent and its environment say."""

    workspace: Workspace
    messages: list[Message] = field(default_factory=list)

    def act(self, thought: str, command: str, succeeds: bool | None = True) -> str:
        """Run a command and keep both sides of it. `succeeds`: what its status must say; None leaves that open.

        Raises: AgentError when the status says something else.
        """
        ran = self.workspace.run(command)
        if succeeds is not None and succeeds != (ran.status == 0):
            raise AgentError(f"{command!r} ended with status {ran.status}: {ran.output[-300:]}")
        output = ran.output
        if len(output) > MAX_OUTPUT:
            half = MAX_OUTPUT // 2
            output = f"{output[:half]}\n[... {len(output) - 2 * half} characters left out ...]\n{output[-half:]}"
        shown = f"<returncode>{ran.status}</returncode>\n<output>\n{output.rstrip()}\n</output>"
        self.messages += (
            Message(role="assistant", content=f"THOUGHT: {thought}\n\n```bash\n{command}\n```"),
            Message(role="user", content=shown),
        )
        return ran.output


@dataclass(frozen=True)
class Job:
    """A bug to mend: `fixed` is the text of the file as it was, `wrong` the numbers of the cases that fail."""

    subject: Subject
    cases: Sequence[Case]
    mutation: Mutation
    fixed: str
    wrong: tuple[int, ...]
    issue: str


def _look_around(session: Session, job: Job, rng: random.Random) -> None:
    subject = job.subject
    session.act(
        rng.choice(("I find the function first.", "Where is it defined?", f"Let me look for {subject.name}.")),
        f"grep -rn {shlex.quote(f'def {subject.name}(')} --include='*.py' .",
    )
    if rng.random() < 0.5:
        session.act("Who uses it?", f"grep -rnw {subject.name} --include='*.py' . | head -n 15")
    if rng.random() < 0.3:
        session.act("What else is there?", f"ls $(dirname {subject.path})")


def _view(session: Session, job: Job, rng: random.Random) -> None:
    tree = ast.parse(job.mutation.source)
    node = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == job.subject.name)
    first, last = max(1, node.lineno - rng.randint(0, 6)), (node.end_lineno or node.lineno) + rng.randint(0, 6)
    path = job.subject.path
    command = rng.choice((f"sed -n '{first},{last}p' {path}", f"nl -ba {path} | sed -n '{first},{last}p'"))
    session.act(rng.choice(("I read the function.", "Let me see its code.")), command)


def _check_command(job: Job) -> str:
    return f"python -m unittest {check_path(job.subject)}"


def _diagnose(session: Session, job: Job, rng: random.Random) -> None:
    # The end of the output only, so that a bug which fails many cases does not make the longer context.
    command = f"{_check_command(job)} 2>&1 | tail -n {CHECK_LINES}"
    output = session.act(rng.choice(("There is a check for it. I run it.", "I run its tests.")), command)
    counts = re.search(r"^FAILED \(([^)]*)\)", output, re.MULTILINE)
    if counts is None or sum(map(int, re.findall(r"\d+", counts[1]))) != len(job.wrong):
        raise AgentError(f"the check did not fail in {len(job.wrong)} cases: {output[-300:]}")
    if rng.random() < 0.6:
        case = job.cases[rng.choice(job.wrong)]
        code = f"from {job.subject.module} import {job.subject.name}; print(repr({case.call(job.subject.name)}))"
        session.act(
            f"I try one call by itself; it should give {case.result}.", f"python -c {shlex.quote(code)}", succeeds=None
        )


def _edit_command(job: Job, rng: random.Random) -> str:
    line, path = job.mutation.line, job.subject.path
    fixed = job.fixed.split("\n")[line - 1]
    if rng.random() < 0.5:
        escaped = fixed.replace("\\", "\\\\").replace("&", r"\&").replace("|", r"\|")
        return f"sed -i {shlex.quote(f'{line}s|.*|{escaped}|')} {path}"
    body = (
        "from pathlib import Path\n"
        f"path = Path({path!r})\n"
        'lines = path.read_text().split("\\n")\n'
        f"lines[{line - 1}] = {fixed!r}\n"
        'path.write_text("\\n".join(lines))'
    )
    return f"python - <<'PY'\n{body}\nPY"


def run_agent(job: Job, workspace: Workspace, rng: random.Random) -> tuple[Message, ...]:
    """Play the job in a workspace that holds the bug, committed.

    Raises:
        AgentError: a command failed that should not, or the other way round.
    """
    session = Session(workspace)
    _look_around(session, job, rng)
    steps = [_view, _diagnose]
    rng.shuffle(steps)
    for step in steps:
        step(session, job, rng)
    session.act(f"So {job.mutation.symptom}. I change that.", _edit_command(job, rng))
    session.act("Is it right now?", _check_command(job))
    if rng.random() < 0.3:
        session.act("I look at what I changed.", "git diff")
    diff = session.act("All is well. I hand it in.", SUBMIT)
    if workspace.read(job.subject.path) != job.fixed or "diff --git" not in diff:
        raise AgentError("the file is not what it was before the mutation")
    opening = (Message(role="system", content=SYSTEM), Message(role="user", content=task_text(job.issue)))
    return (*opening, *session.messages)


def task_text(issue: str) -> str:
    return f"<pr_description>\n{issue}\n</pr_description>\n\nMake the change in /testbed, with one command at a time."


def issue_text(
    subject: Subject, cases: Sequence[Case], wrong: Sequence[int], got: Sequence[str | None], symptom: str
) -> str:
    """What a user would report: two calls at most, what came and what should have come, and a guess."""
    lines = [f"`{subject.qualified}` returns wrong results since the last change.", ""]
    for i in wrong[:2]:
        shown = "an error" if got[i] is None else f"`{got[i]}`"
        lines.append(f"- `{cases[i].call(subject.name)}` gives {shown}, and it should give `{cases[i].result}`.")
    lines += ["", f"Other calls of {subject.name}() are right. I think that {symptom}."]
    return "\n".join(lines)
