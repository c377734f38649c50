"""BrowseComp-Plus as an environment: search and read documents, then answer; a model judges the answer."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from cleartrace.environments.browsecomp.data import Question, read_questions, read_splits
from cleartrace.environments.browsecomp.judge import JudgeFailed, judge
from cleartrace.environments.browsecomp.mcp import Mcp
from cleartrace.environments.browsecomp.retrieval import GET_DOCUMENT, SEARCH, Document, Http, NotFound, Retrieval
from cleartrace.environments.protocol import Action, CallResult, EnvironmentFault, Observation
from cleartrace.environments.registry import Complete
from cleartrace.environments.splits import of_split
from cleartrace.episodes.types import Failure, FailureKind, Outcome, Task
from cleartrace.llm.protocol import Role, ToolCall, ToolSpec
from cleartrace.trajectory.record import written

RULES = """You answer a hard question from a fixed collection of documents. Use `search` to find documents and
`get_document` to read one in full. No single search will answer the question: take it apart, find candidates, and
check each condition against what documents say. When you are sure, or cannot get further, reply without a call:
first, in a few sentences, what the answer rests on, then a last line `Answer: <the answer>` with one answer and
nothing else."""

DOMAIN = """Agents answer questions whose answer is short but hard to find: several conditions, each vague by
itself, point to one person, place, work or number. They search a fixed collection of some hundred thousand web
documents and read documents in full, over many steps, and reply with one answer. A judge compares it with the known
one. They fail by searching for the whole question at once, by taking the first candidate that fits some of the
conditions, and by stopping too early or too late."""

SECTIONS: Mapping[str, str] = {
    "taking questions apart": "which condition to search for first, and how to word a search for it",
    "searching on": "what to do when results are empty, too many or off the point, and how to use what was learned",
    "checking candidates": "how to test a candidate against every condition, and when to drop it",
    "answering": "when to stop, and how to commit to one answer in the wanted form",
}


def _tools(k: int) -> tuple[ToolSpec, ...]:
    texts = {
        SEARCH: (
            "query",
            f"Finds the {k} documents that fit a query best, with the beginning of each.",
            "what to find",
        ),
        GET_DOCUMENT: ("docid", "Returns one document in full.", "the id of a document, as search results give it"),
    }
    return tuple(
        ToolSpec(
            name=name,
            description=description,
            parameters={
                "type": "object",
                "properties": {argument: {"type": "string", "description": meaning}},
                "required": [argument],
                "additionalProperties": False,
            },
        )
        for name, (argument, description, meaning) in texts.items()
    )


class BrowseComp:
    """Questions of BrowseComp-Plus.

    Args:
        questions: the decrypted file, JSON lines.
        url: of the retrieval service.
        mcp: whether the service speaks MCP (its `/mcp` address) or plain HTTP.
        splits: a JSON file {split: [id, ...]}; "" splits by a hash of the id.
        k: documents a search returns.
        snippet_chars, document_chars: longer texts are cut.
        call_s: seconds for a call of the service; below what the host allows.
        complete: the judge's replies.
    """

    name = "browsecomp"
    domain = " ".join(DOMAIN.split())
    sections = SECTIONS
    needs_user = True
    asks_as = Role.JUDGE

    def __init__(
        self,
        questions: str,
        url: str,
        mcp: bool = True,
        splits: str = "",
        k: int = 5,
        snippet_chars: int = 2_000,
        document_chars: int = 40_000,
        call_s: float = 50.0,
        complete: Complete | None = None,
    ) -> None:
        self._questions = read_questions(Path(questions))
        self._splits = read_splits(Path(splits) if splits else None, self._questions)
        self.version = hashlib.sha256(Path(questions).read_bytes()).hexdigest()[:16]
        self._url, self._mcp, self._call_s = url, mcp, call_s
        self.k, self.snippet_chars, self.document_chars = k, snippet_chars, document_chars
        self.complete = complete

    def tasks(self, split: str | None = None) -> Sequence[Task]:
        listed = [self._questions[question] for question in self._questions if question in self._splits]
        tasks = [
            Task(environment=self.name, id=question.id, input=question.text, split=self._splits[question.id])
            for question in listed
        ]
        return of_split(tasks, split)

    def session(self, task_id: str, seed: int) -> Browsing:
        channel = Mcp(self._url, self._call_s) if self._mcp else Http(self._url, self._call_s, self.k)
        return Browsing(self, self._question(task_id), Retrieval(channel))

    def gold(self, task_id: str, seed: int) -> list[Action]:
        return [Action(text=f"Answer: {self._question(task_id).answer}")]

    def _question(self, task_id: str) -> Question:
        if task_id not in self._splits:
            raise ValueError(f"browsecomp has no question {task_id!r} here")
        return self._questions[task_id]


class Browsing:
    """One question. The first message without a call is the answer."""

    def __init__(self, environment: BrowseComp, question: Question, retrieval: Retrieval) -> None:
        self._environment = environment
        self._question = question
        self._retrieval = retrieval
        self._tools = _tools(environment.k)
        self._found: set[str] = set()
        self._read: set[str] = set()
        self._searches = 0
        self._answer: str | None = None

    def start(self) -> Observation:
        return Observation(system=" ".join(RULES.split()), text=self._question.text, tools=self._tools)

    def act(self, action: Action) -> Observation:
        if self._answer is not None:
            raise EnvironmentFault("browsecomp: act after the answer")
        if not action.calls:
            self._answer = action.text
            return Observation(done=True)
        return Observation(results=tuple(self._result(call) for call in action.calls), tools=self._tools)

    def _result(self, call: ToolCall) -> CallResult:
        argument = {SEARCH: "query", GET_DOCUMENT: "docid"}.get(call.name)
        value = (call.arguments or {}).get(argument) if argument else None
        if not isinstance(value, str) or not value.strip():
            text = f"Call {SEARCH} with `query` or {GET_DOCUMENT} with `docid`, a text."
            return CallResult(call_id=call.id, text=text, is_error=True)
        try:
            return CallResult(call_id=call.id, text=self._ask(call.name, written(value) or ""))
        except NotFound as error:
            return CallResult(call_id=call.id, text=f"{call.name} failed: {error}", is_error=True)

    def _ask(self, operation: str, value: str) -> str:
        if operation == GET_DOCUMENT:
            document = self._retrieval.get(value)
            self._read.add(document.id)
            return _shown(document, self._environment.document_chars)
        self._searches += 1
        documents = self._retrieval.search(value, self._environment.k)
        self._found.update(document.id for document in documents)
        shown = [_shown(document, self._environment.snippet_chars) for document in documents]
        return "\n\n".join(shown) or "No document was found."

    def outcome(self) -> Outcome:
        details = self._details()
        if not (self._answer or "").strip():
            return Outcome(score=0.0, feedback="No answer was given.", details=details)
        if self._environment.complete is None:
            raise EnvironmentFault("browsecomp: there is no judge; give the host a model")
        try:
            verdict = judge(
                self._environment.complete, self._question.text, self._question.answer, written(self._answer) or ""
            )
        except JudgeFailed as error:
            failure = Failure(kind=FailureKind.JUDGE, message=str(error))
            return Outcome(score=None, details=details, failure=failure)
        said = "right" if verdict.correct else "wrong"
        feedback = f"The answer {verdict.final_answer!r} was judged {said}. {self._evidence()}"
        return Outcome(score=float(verdict.correct), feedback=feedback, details=details)

    def _details(self) -> dict[str, float | int | None]:
        evidence = self._question.evidence
        return {
            "searches": self._searches,
            "documents_read": len(self._read),
            "recall": len(evidence & (self._found | self._read)) / len(evidence) if evidence else None,
        }

    def _evidence(self) -> str:
        evidence = self._question.evidence
        seen = len(evidence & (self._found | self._read))
        return f"Of {len(evidence)} documents with evidence, {seen} were found and {len(evidence & self._read)} read."

    def close(self) -> None:
        self._retrieval.close()


def _shown(document: Document, limit: int) -> str:
    text = written(document.text) or ""
    cut = "" if len(text) <= limit else f"\n[{len(text) - limit} more characters were cut]"
    return f"[{document.id}]\n{text[:limit]}{cut}"
