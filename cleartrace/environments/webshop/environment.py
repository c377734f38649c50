"""WebShop as an environment: two tools, `search` and `click`, on the pages of the real server."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx

from cleartrace.environments.protocol import Action, CallResult, EnvironmentFault, Observation
from cleartrace.environments.splits import of_split
from cleartrace.environments.webshop.data import read_tasks
from cleartrace.environments.webshop.pages import NoPage, Page, Target, read_page
from cleartrace.episodes.types import Outcome, Task
from cleartrace.llm.protocol import ToolCall, ToolSpec
from cleartrace.trajectory.record import written

SEARCH, CLICK, BUY = "search", "click", "buy now"
LONGEST = 300
_RESERVED = re.compile(r"[<>\[\]/\\?#%]+")
"""Words in angle brackets are commands of the server (random products, all of a category), and the others would not
survive its addresses."""

RULES = """You shop in a web shop for somebody who says what they want. Use `search` to find products and `click` to
open one, to choose options such as size or colour, to turn pages and to go back. A product has further pages
(Description, Features, Reviews). When you are on the page of the right product and every wanted option is chosen, click
`Buy Now`: that ends the task, and nothing can be changed afterwards. What counts is that the product is of the wanted
kind, has the wanted attributes and options, and costs less than the limit. Ask no questions: nobody answers."""

DOMAIN = """Agents buy one product in a large web shop, from a wish in everyday words: a kind of product, attributes,
options such as size or colour, and a limit of price. They search, compare products on result pages, read product pages,
choose options and buy. The score is the share of attributes, options and price that the purchase meets, times how well
its kind fits; an agent that buys nothing scores 0."""

SECTIONS: Mapping[str, str] = {
    "searching": "which words of the wish to search for, and how to search again when results are off",
    "comparing": "what to read of a product before it is chosen: price, attributes, options",
    "options": "how to choose options, and what to do when a wanted one is missing",
    "buying": "when to buy, when to go back, and what to check before",
}
REMINDER = f"Nothing was done: only the tools `{SEARCH}` and `{CLICK}` act in the shop."


def _tool(name: str, description: str, argument: str, meaning: str) -> ToolSpec:
    properties = {argument: {"type": "string", "description": meaning}}
    schema = {"type": "object", "properties": properties, "required": [argument], "additionalProperties": False}
    return ToolSpec(name=name, description=description, parameters=schema)


TOOLS = (
    _tool(SEARCH, "Searches the shop. Only on pages with a search bar.", "keywords", "words to search for"),
    _tool(CLICK, "Clicks a button, a product or an option of the present page.", "target", "as the page lists it"),
)


class WebShop:
    """Tasks of WebShop.

    Args:
        url: of the running server, which `serve.py` starts.
        goals: the file it wrote. It fits that server alone, as prices are drawn when one starts.
        items: product numbers, or the file of products the server has; tasks with another target are left out.
        page_chars: longer pages are cut.
        call_s: seconds for a page; below what a host allows.
    """

    name = "webshop"
    domain = " ".join(DOMAIN.split())
    sections = SECTIONS

    def __init__(self, url: str, goals: str, items: str = "", page_chars: int = 8_000, call_s: float = 50.0) -> None:
        self.url, self.page_chars, self.call_s = url.rstrip("/"), page_chars, call_s
        self._tasks = {task.id: task for task in read_tasks(Path(goals), Path(items) if items else None)}
        self.version = hashlib.sha256(Path(goals).read_bytes()).hexdigest()[:16]

    def tasks(self, split: str | None = None) -> Sequence[Task]:
        return of_split(list(self._tasks.values()), split)

    def session(self, task_id: str, seed: int) -> Shopping:
        if task_id not in self._tasks:
            raise ValueError(f"webshop has no task {task_id!r} in its goals")
        return Shopping(self, self._tasks[task_id])

    def gold(self, task_id: str, seed: int) -> None:
        """The shop knows what is wanted, and no way there."""
        return None


class Shopping:
    """One wish. Two messages in a row without a call end it."""

    def __init__(self, shop: WebShop, task: Task) -> None:
        self._shop, self._task = shop, task
        # The server takes the goal from the number behind the last underscore; the rest keeps runs apart.
        self._name = f"fixed_{secrets.token_hex(8)}_{task.id.rpartition('_')[2]}"
        self._client = httpx.Client(timeout=shop.call_s, trust_env=False, follow_redirects=True)
        self._page, self._address = Page(), ""
        self._silent = self._searches = self._clicks = 0
        self._done = False

    def start(self) -> Observation:
        self._visit("GET", f"{self._shop.url}/{self._name}")
        said = " ".join(self._page.instruction.split())
        if said != self._task.input:
            raise EnvironmentFault(
                f"webshop: goal {self._task.id} of the server reads {said[:200]!r} and not {self._task.input[:200]!r}: "
                "the goals are those of another start; take the file that this server wrote"
            )
        return Observation(system=_paragraph(RULES), text=self._shown(), tools=TOOLS)

    def act(self, action: Action) -> Observation:
        if not action.calls:
            self._silent += 1
            self._done = self._done or self._silent > 1
            return Observation(text="" if self._done else REMINDER, tools=TOOLS, done=self._done)
        self._silent = 0
        results = tuple(self._result(call) for call in action.calls)
        return Observation(results=results, tools=TOOLS, done=self._done)

    def _result(self, call: ToolCall) -> CallResult:
        if self._done:
            return _refused(call, "Not done: the task has ended.")
        argument = {SEARCH: "keywords", CLICK: "target"}.get(call.name)
        value = (call.arguments or {}).get(argument) if argument else None
        if not isinstance(value, str) or not value.strip():
            return _refused(call, f"Call {SEARCH} with `keywords` or {CLICK} with `target`, a text.")
        value = " ".join((written(value) or "").split())[:LONGEST]
        wrong = self._search(value) if call.name == SEARCH else self._click(value)
        return _refused(call, wrong) if wrong else CallResult(call_id=call.id, text=self._shown())

    def _search(self, keywords: str) -> str:
        """Why nothing was searched for; "" when it was."""
        if not self._page.search_url:
            return "There is no search bar on this page: click `Back to Search` first."
        words = " ".join(_RESERVED.sub(" ", keywords).split())
        if not words:
            return "Search for words."
        self._searches += 1
        self._visit("POST", self._page.search_url, {"search_query": words})
        return ""

    def _click(self, target: str) -> str:
        """Why nothing was clicked; "" when it was."""
        found = self._page.targets.get(target.lower())
        if found is None:
            return f"There is nothing called {target!r} to click here."
        self._clicks += 1
        self._open(found)
        return ""

    def _open(self, target: Target) -> None:
        self._visit("POST" if target.post else "GET", target.url)
        if self._page.reward is not None:
            self._done = True
        elif target.label.lower() == BUY:
            raise EnvironmentFault("webshop: the page after the purchase has no reward")

    def _visit(self, method: str, url: str, form: Mapping[str, str] | None = None) -> None:
        """Raises `EnvironmentFault` for whatever goes wrong: an agent can only do what a page offers."""
        address = urljoin(self._address or f"{self._shop.url}/", url)
        if urlsplit(address)[:2] != urlsplit(self._shop.url)[:2]:
            raise EnvironmentFault(f"webshop: a page leads away from the shop, to {address[:200]}")
        try:
            answer = self._client.request(method, address, data=form)
            if answer.status_code != 200:
                raise EnvironmentFault(f"webshop: {address[:300]} answers with status {answer.status_code}")
            self._page, self._address = read_page(answer.text), str(answer.url)
        except httpx.HTTPError as error:
            raise EnvironmentFault(f"webshop at {self._shop.url}: {type(error).__name__}: {error}") from None
        except NoPage as error:
            raise EnvironmentFault(f"webshop: {error}") from None

    def _shown(self) -> str:
        """The last page holds the goal and the reward, which are for evaluators alone."""
        if self._done:
            return "Bought. The task has ended."
        text, limit = written(self._page.text(urlsplit(self._address).path)) or "", self._shop.page_chars
        return text if len(text) <= limit else f"{text[:limit]}\n[{len(text) - limit} more characters were cut]"

    def outcome(self) -> Outcome:
        details = {"searches": self._searches, "clicks": self._clicks, "bought": self._page.reward is not None}
        if self._page.reward is None:
            return Outcome(score=0.0, feedback="The agent bought nothing.", details=details)
        score, parts = min(1.0, max(0.0, self._page.reward)), dict(self._page.parts)
        said = ", ".join(f"{name} {value}" for name, value in sorted(parts.items()))
        return Outcome(
            score=score, feedback=f"Bought, reward {score:.4g}. {said}".strip(), details={**details, **parts}
        )

    def close(self) -> None:
        self._done = True
        self._client.close()


def _refused(call: ToolCall, reason: str) -> CallResult:
    return CallResult(call_id=call.id, text=reason, is_error=True)


def _paragraph(text: str) -> str:
    return " ".join(text.split())
