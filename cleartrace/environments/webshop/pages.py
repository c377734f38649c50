"""What is on a page of the shop: its text as a reader sees it, and what can be clicked. Pure; pages are untrusted."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote

_HIDDEN = frozenset(("style", "script", "head", "title", "iframe"))
_BREAKS = frozenset(("div", "p", "h1", "h2", "h3", "h4", "h5", "h6", "li", "br", "form", "pre", "button", "tr"))


class NoPage(ValueError):
    """Not a page of the shop."""


@dataclass(frozen=True)
class Target:
    """Something to click. `post`: a button of a form; otherwise a link. `url`: as the page writes it."""

    label: str
    url: str
    post: bool
    option: str = ""


@dataclass
class Page:
    """One page. `search_url`: where a search goes, where there is a search bar. `reward`: of the last page alone."""

    lines: list[str] = field(default_factory=list)
    targets: dict[str, Target] = field(default_factory=dict)
    search_url: str = ""
    reward: float | None = None
    parts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def instruction(self) -> str:
        """What is to be bought, as the shop words it.

        Raises: `NoPage` where it is not said.
        """
        for number, line in enumerate(self.lines):
            if line.startswith("Instruction:"):
                said = line.removeprefix("Instruction:").strip()
                return said or (self.lines[number + 1] if number + 1 < len(self.lines) else "")
        raise NoPage("the page has no instruction")

    def text(self, url: str = "") -> str:
        """For an agent: what it says, then what can be clicked. `url`: of the page; it holds the options chosen."""
        chosen = chosen_options(url)
        listed = [
            f"- {target.label}" + (" (chosen)" if target.option and chosen.get(target.option) == target.label else "")
            + (f" [{target.option}]" if target.option else "")
            for target in self.targets.values()
        ]  # fmt: skip
        shown = [*self.lines, "", "You can search." if self.search_url else "You cannot search on this page."]
        return "\n".join([*shown, *(["You can click:", *listed] if listed else [])])


def chosen_options(url: str) -> dict[str, str]:
    """The options in the address of an item's page: {name: value}.

    Example:
        >>> chosen_options("/item_page/s/B01/%5B%27mug%27%5D/1/%7B%27size%27:%20%27xl%27%7D")
        {'size': 'xl'}
    """
    try:
        found = ast.literal_eval(unquote(url.rstrip("/").rpartition("/")[2]))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return {}
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def read_page(html: str) -> Page:
    """Raises `NoPage` for a last page without its reward."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    page = reader.page
    page.lines = [text for line in reader.text.split("\n") if (text := " ".join(line.split()))]
    if "reward" in reader.marked:
        try:
            page.reward = float(reader.marked["reward"].strip())
        except ValueError:
            raise NoPage(f"the reward is no number: {reader.marked['reward'][:80]!r}") from None
        try:
            found = ast.literal_eval(reader.marked.get("reward_info", "").strip() or "{}")
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            found = {}
        page.parts = found if isinstance(found, dict) else {}
    return page


class _Reader(HTMLParser):
    """Comments hold an older layout with links of their own; the parser leaves them out."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page, self.text = Page(), ""
        self.marked: dict[str, str] = {}
        self._hidden = 0
        self._form = self._link = self._mark = ""
        self._button: list[str] | None = None
        self._preformatted = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self._break(tag)
        if tag in _HIDDEN:
            self._hidden += 1
        if given.get("id") in ("reward", "reward_info"):
            self._mark = given["id"]
        if tag == "pre":
            self._preformatted = True
        elif tag == "form":
            self._form = given.get("action", "")
        elif tag == "input":
            self._input(given)
        elif tag == "button" and self._form:
            self._button = []
        elif tag == "a" and "product-link" in given.get("class", "").split():
            self._link, self._button = given.get("href", ""), []

    def _input(self, given: Mapping[str, str]) -> None:
        if given.get("id") == "search_input":
            self.page.search_url = self._form
        elif given.get("type") == "radio" and given.get("data-url"):
            name, value = given.get("name", ""), given.get("value", "")
            self._add(Target(value, given["data-url"], post=False, option=name))

    def handle_endtag(self, tag: str) -> None:
        self._break(tag)
        if tag in _HIDDEN:
            self._hidden = max(0, self._hidden - 1)
        if tag == "pre":
            self._preformatted, self._mark = False, ""
        elif tag == "form":
            self._form = ""
        elif tag == "button" and self._button is not None:
            self._finish(Target(_label(self._button), self._form, post=True))
        elif tag == "a" and self._link:
            self._finish(Target(_label(self._button or []), self._link, post=False))
            self._link = ""

    def handle_data(self, data: str) -> None:
        if self._mark and self._preformatted:
            self.marked[self._mark] = self.marked.get(self._mark, "") + data
        if self._button is not None:
            self._button.append(data)
        if not self._hidden:
            self.text += data if data.strip() else " "

    def _finish(self, target: Target) -> None:
        self._button = None
        # The button of the search bar is the search itself.
        if target.label.lower() != "search" or not self.page.search_url:
            self._add(target)

    def _add(self, target: Target) -> None:
        if target.label:
            self.page.targets.setdefault(target.label.lower(), target)

    def _break(self, tag: str) -> None:
        if tag in _BREAKS and not self._hidden:
            self.text += "\n"


def _label(words: list[str]) -> str:
    return " ".join("".join(words).split())
