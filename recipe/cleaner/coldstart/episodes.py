"""Let a policy solve tasks with the tool, many conversations at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import torch

from cleartrace.data.rows import prompt_messages
from cleartrace.data.tasks import Task
from cleartrace.tools import ToolResult
from cleartrace.tools.render import render
from recipe.cleaner.coldstart.demonstrations import MAX_CALLS, TOOL_NAME
from recipe.cleaner.coldstart.tokenizer import END, chat_ids, token_id

CALL = re.compile(r"<tool_call>(.*?)</tool_call>", re.DOTALL)
BOX = re.compile(r"\\boxed\{([^{}]*)\}")
MALFORMED = "The tool call is not valid JSON with a string argument code."


class CallOutcome(str, Enum):
    """What became of one tool call."""

    OK = "ok"
    ERROR = "error"
    MALFORMED = "malformed"


@dataclass
class Episode:
    """One conversation: `ids` is the token history, `calls` the outcome of each call in order."""

    task: Task
    ids: list[int]
    calls: list[CallOutcome] = field(default_factory=list)
    prediction: str | None = None
    prompt_tokens: int = 0
    generated_tokens: int = 0
    done: bool = False

    @property
    def solved(self) -> bool:
        return self.prediction == self.task.answer


def read_code(turn: str) -> str | None:
    """The program of the first call in an assistant turn; None when it cannot be read."""
    match = CALL.search(turn)
    try:
        call = json.loads(match.group(1)) if match else None
    except json.JSONDecodeError:
        return None
    if not isinstance(call, dict) or call.get("name") != TOOL_NAME or not isinstance(call.get("arguments"), dict):
        return None
    code = call["arguments"].get("code")
    return code if isinstance(code, str) else None


def run_episodes(
    model: Any,
    tokenizer: Any,
    tasks: list[Task],
    execute: Callable[[str], ToolResult],
    temperature: float = 1.0,
    max_turn_tokens: int = 128,
    max_calls: int = MAX_CALLS,
) -> list[Episode]:
    """Play every task to its end; a turn without a call ends the conversation, as does a call beyond `max_calls`."""
    episodes = [_start(tokenizer, task) for task in tasks]
    with ThreadPoolExecutor(2) as pool:
        while active := [episode for episode in episodes if not episode.done]:
            turns = sample_turns(model, tokenizer, [one.ids for one in active], temperature, max_turn_tokens)
            codes = [_take_turn(tokenizer, one, turn, max_calls) for one, turn in zip(active, turns, strict=True)]
            waiting = [(one, code) for one, code in zip(active, codes, strict=True) if not one.done]
            results = pool.map(lambda pair: _answer_call(pair[1], execute), waiting)
            for (episode, _), (outcome, text) in zip(waiting, results, strict=True):
                episode.calls.append(outcome)
                episode.ids += _tool_ids(tokenizer, text)
    return episodes


@torch.inference_mode()
def sample_turns(
    model: Any,
    tokenizer: Any,
    histories: list[list[int]],
    temperature: float,
    max_new_tokens: int,
) -> list[list[int]]:
    """The next assistant turn of every history, end token included."""
    end = token_id(tokenizer, END)
    longest = max(map(len, histories))
    ids = torch.full((len(histories), longest), end)
    mask = torch.zeros_like(ids)
    for row, history in enumerate(histories):
        ids[row, longest - len(history) :] = torch.tensor(history)
        mask[row, longest - len(history) :] = 1
    sampling = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature > 0 else {"do_sample": False}
    out = model.generate(
        input_ids=ids,
        attention_mask=mask,
        max_new_tokens=max_new_tokens,
        eos_token_id=end,
        pad_token_id=end,
        **sampling,
    )
    return [_until(row, end) for row in out[:, longest:].tolist()]


def _start(tokenizer: Any, task: Task) -> Episode:
    ids = chat_ids(tokenizer, prompt_messages(task.question), add_generation_prompt=True)
    return Episode(task, ids, prompt_tokens=len(ids))


def _take_turn(tokenizer: Any, episode: Episode, turn: list[int], max_calls: int) -> str | None:
    """Append a turn; ends the episode or gives the program to run (None for an unreadable call)."""
    episode.ids = episode.ids + turn
    episode.generated_tokens += len(turn)
    text = tokenizer.decode(turn)
    if "<tool_call>" in text and len(episode.calls) < max_calls:
        return read_code(text)
    boxes = BOX.findall(text)
    episode.prediction = boxes[-1].strip() if boxes else None
    episode.done = True
    return None


def _answer_call(code: str | None, execute: Callable[[str], ToolResult]) -> tuple[CallOutcome, str]:
    if code is None:
        return CallOutcome.MALFORMED, MALFORMED
    result = execute(code)
    return (CallOutcome.OK if result.ok else CallOutcome.ERROR), render(result)


def _tool_ids(tokenizer: Any, text: str) -> list[int]:
    """What follows an assistant's end token: its newline, the tool message, the next generation prompt."""
    newline = tokenizer("\n", add_special_tokens=False).input_ids
    return newline + chat_ids(tokenizer, [{"role": "tool", "content": text}], add_generation_prompt=True)


def _until(row: list[int], end: int) -> list[int]:
    return row[: row.index(end) + 1] if end in row else row
