"""Providers that say the same beside every task: nothing, a text, a playbook."""

from __future__ import annotations

from collections.abc import Collection

from cleartrace.context.playbook.apply import without
from cleartrace.context.playbook.render import View, render
from cleartrace.context.playbook.types import Playbook
from cleartrace.context.providers.base import Count, answer, constant_hash, cut_to, state_hash
from cleartrace.episodes.types import Context, PartKind, PartRef, Task
from cleartrace.llm.tokens import count_tokens

CITE = (
    "Entries stand under ids in brackets. Where an entry leads you to an action, name it before you act: "
    "<playbook_cite>e1, e2</playbook_cite>."
)
"""Asked of an agent whose citations are wanted."""


class Constant:
    """A provider with one answer for all tasks and seeds."""

    def __init__(
        self,
        text: str,
        parts: tuple[PartRef, ...],
        cap: int | None = None,
        count: Count = count_tokens,
        probe: str = "",
    ) -> None:
        self.cap = cap
        self.count = count
        self._context = answer(text, parts, constant_hash(text, parts, probe), cap, count, probe)

    @property
    def hash(self) -> str:
        return self._context.provider_hash

    @property
    def probe(self) -> str:
        return self._context.probe

    @property
    def parts(self) -> tuple[PartRef, ...]:
        """What every answer is built from."""
        return self._context.parts

    async def context_for(self, task: Task, seed: int) -> Context:
        return self._context


class Empty(Constant):
    """No context: the baseline."""

    def __init__(self) -> None:
        super().__init__("", ())


class Static(Constant):
    """One text. `cut`: it was longer than `cap` tokens, and only its start is said."""

    def __init__(self, text: str, cap: int | None = None, count: Count = count_tokens) -> None:
        said = cut_to(text, cap, count)
        self.cut = said != text
        super().__init__(said, (PartRef(kind=PartKind.TEXT, id=state_hash("text", said)),), cap, count)


class PlaybookProvider(Constant):
    """A playbook as agents read it.

    Args:
        cap: most tokens of the whole text, the request for citations included.
        cite: ask the agent to name the entries it uses.

    `left_out`: entries for which there was no room.
    """

    def __init__(
        self, playbook: Playbook, cap: int | None = None, cite: bool = False, count: Count = count_tokens
    ) -> None:
        self.playbook = playbook
        self.cite = cite
        ending = f"\n\n{CITE}" if cite else ""
        room = None if cap is None else cap - (count(ending) if ending else 0)
        rendered = render(playbook, View.AGENT, room, count)
        self.left_out = rendered.left_out
        text = rendered.text and rendered.text + ending
        super().__init__(text, rendered.parts, cap, count)

    def shown_without(self, ids: Collection[str]) -> tuple[str, tuple[PartRef, ...]]:
        """Text and parts with some entries gone, and nothing else: no entry takes the room they leave."""
        seen = {part.id for part in self.parts}
        hidden = [entry.id for entry in self.playbook.entries if entry.id not in seen or entry.id in ids]
        rendered = render(without(self.playbook, hidden), View.AGENT, None, self.count)
        ending = f"\n\n{CITE}" if self.cite else ""
        return rendered.text and rendered.text + ending, rendered.parts
