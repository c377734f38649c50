"""Cold start: tokenizer, chat template, demonstrations, episodes."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from cleartrace.data.tasks import FAMILIES, Split, draw_task, generate_tasks
from cleartrace.tools import ToolResult, ToolStatus
from cleartrace.tools.render import render
from code_judge.client import JudgeUnavailable, RunResult
from code_judge.jobs import Outcome
from code_judge.sync_client import SyncJudgeClient
from recipe.cleaner.coldstart.batches import batches, encode
from recipe.cleaner.coldstart.corrupt import CORRUPTIONS
from recipe.cleaner.coldstart.demonstrations import ErrorRates, answer_text, call_text, copy_practice, demonstrate
from recipe.cleaner.coldstart.episodes import CallOutcome, read_code, run_episodes
from recipe.cleaner.coldstart.evaluate import summarise
from recipe.cleaner.coldstart.execute import run_trusted
from recipe.cleaner.coldstart.judged import judged
from recipe.cleaner.coldstart.losses import learning_rate, weighted_loss
from recipe.cleaner.coldstart.runner import FILENAME
from recipe.cleaner.coldstart.tokenizer import chat_template
from recipe.cleaner.coldstart.train_tiny import make_model, make_tokenizer

Execute = Callable[[str], ToolResult]


@cache
def built_tokenizer() -> Any:
    return make_tokenizer()


@pytest.fixture(scope="module")
def execute() -> Iterator[Execute]:
    """Runs a model's program."""
    with judged() as run:
        yield run


@pytest.fixture
def tokenizer() -> Any:
    return built_tokenizer()


def ids_of(tokenizer: Any, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False).input_ids


@settings(max_examples=200, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_survives_encode_and_decode(text: str) -> None:
    tokenizer = built_tokenizer()
    assert tokenizer.decode(ids_of(tokenizer, text)) == text


def test_numbers_and_words_are_the_same_tokens_everywhere(tokenizer: Any) -> None:
    for piece in ("7", "53", "531", "48213", "banana", "pens"):
        alone = ids_of(tokenizer, piece)
        for text in (f" {piece}", f"({piece})", f"[{piece}, {piece}]", f"'{piece}'", f"\n{piece}\n", f"print({piece})"):
            ids = ids_of(tokenizer, text)
            assert any(ids[i : i + len(alone)] == alone for i in range(len(ids))), (piece, text)


@pytest.mark.parametrize("text", ["\n", "<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>", "<tool_response>"])
def test_tags_and_newline_are_one_token(tokenizer: Any, text: str) -> None:
    assert len(ids_of(tokenizer, text)) == 1


def test_special_tokens(tokenizer: Any) -> None:
    assert tokenizer.eos_token == "<|im_end|>"
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    assert tokenizer.clean_up_tokenization_spaces is False
    ids = ids_of(tokenizer, call_text("print(1)") + "<|im_end|>")
    assert tokenizer.decode(ids, skip_special_tokens=True) == call_text("print(1)")


def test_rendering_is_append_only(tokenizer: Any) -> None:
    messages = demonstrate(generate_tasks(1, 0, Split.TRAIN)[0], Random(1), ErrorRates(1.0, 1.0))
    tools = [{"type": "function", "function": {"name": "code_interpreter"}}]
    assert len(messages) == 11
    messages.insert(4, messages[3])
    before: list[int] = []
    for k in range(1, len(messages) + 1):
        ids = ids_of(tokenizer, str(tokenizer.apply_chat_template(messages[:k], tokenize=False, tools=tools)))
        assert ids[: len(before)] == before
        assert tokenizer.decode(ids[-2:]) == "<|im_end|>\n"
        before = ids


def test_template_renders_structured_calls_like_text(tokenizer: Any) -> None:
    code = "s = 'x'\nprint(\"é\")"
    call = {"type": "function", "function": {"name": "code_interpreter", "arguments": {"code": code}}}
    structured = tokenizer.apply_chat_template(
        [{"role": "assistant", "content": "", "tool_calls": [call]}], tokenize=False
    )
    written = tokenizer.apply_chat_template([{"role": "assistant", "content": call_text(code)}], tokenize=False)
    assert structured == written
    assert read_code(str(written)) == code


@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda c: c.__name__)
def test_every_corruption_can_fail_on_execution(corruption) -> None:
    rng = Random(0)
    failures = Counter()
    for task in generate_tasks(48, 0, Split.TRAIN):
        for program in task.programs:
            failures[run_trusted(corruption(program, rng)).status] += 1
    assert failures[ToolStatus.PROGRAM_ERROR] > 20


def test_demonstrations_are_honest() -> None:
    """Every tool message is what the shown program really gives, and the answer is the right one."""
    rng, errors = Random(2), 0
    for _ in range(100):
        task = draw_task(rng, Split.TRAIN)
        messages = demonstrate(task, rng, ErrorRates())
        assert messages[-1]["content"] == answer_text(task.answer)
        for call, response in zip(messages[2:-1:2], messages[3:-1:2], strict=True):
            code = read_code(call["content"])
            assert code is not None
            result = run_trusted(code)
            errors += not result.ok
            assert response["content"] == render(result)
        assert messages[-2]["content"].endswith(f"stdout: {task.answer}")
    assert errors > 50


def test_error_rates_are_obeyed() -> None:
    rng = Random(3)
    task = generate_tasks(1, 0, Split.TRAIN)[0]
    assert len(demonstrate(task, rng, ErrorRates(0.0, 1.0))) == 5
    assert len(demonstrate(task, rng, ErrorRates(1.0, 0.0))) == 7


@pytest.mark.parametrize(
    ("code", "error_class", "line"),
    [("print(1", "SyntaxError", 1), ("a = 1\nprint(b)", "NameError", 2), ("\n\nprint('' + 1)", "TypeError", 3)],
)
def test_both_executors_agree(code: str, error_class: str, line: int, execute: Execute) -> None:
    trusted, judged_result = run_trusted(code), execute(code)
    assert (trusted.error_class, trusted.line) == (error_class, line)
    assert render(trusted) == render(judged_result)


def test_programs_of_a_model_end(execute: Execute) -> None:
    assert execute("while True: pass").status is ToolStatus.TIMEOUT
    assert execute("import sys\nsys.exit(3)").status is ToolStatus.PROGRAM_ERROR
    assert execute("print('\ud800')").stdout == "?\n"


def test_programs_of_a_model_reach_neither_files_nor_the_network(execute: Execute, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("mine")
    assert execute(f"print(open({str(secret)!r}).read())").status is ToolStatus.PROGRAM_ERROR
    assert execute(f"open({str(secret)!r}, 'w').write('theirs')").status is ToolStatus.PROGRAM_ERROR
    assert secret.read_text() == "mine"
    assert execute("import socket\nsocket.socket()").status is ToolStatus.PROGRAM_ERROR


def test_a_judge_that_fails_is_no_error_of_the_program(monkeypatch: pytest.MonkeyPatch, execute: Execute) -> None:
    def lost(*_: Any, **__: Any) -> RunResult:
        return RunResult("1", Outcome.INFRA_ERROR, detail="crash_loop: gone")

    monkeypatch.setattr(SyncJudgeClient, "run", lost)
    with pytest.raises(JudgeUnavailable, match="crash_loop"):
        execute("print(1)")


def test_loss_weights_cover_exactly_what_the_assistant_writes(tokenizer: Any) -> None:
    messages = demonstrate(generate_tasks(3, 0, Split.TRAIN)[2], Random(0), ErrorRates(0.0, 0.0))
    weighted = encode(tokenizer, messages, 0.05)
    rendered = str(tokenizer.apply_chat_template(messages, tokenize=False))
    assert weighted.ids == ids_of(tokenizer, rendered)
    own = tokenizer.decode([i for i, w in zip(weighted.ids, weighted.weights, strict=True) if w == 1.0])
    assert own == "".join(m["content"] + "<|im_end|>" for m in messages if m["role"] == "assistant")


def test_batches_are_reproducible(tokenizer: Any) -> None:
    first = list(batches(tokenizer, 7, 6, 4, ErrorRates(), 0.05))
    again = list(batches(tokenizer, 7, 6, 4, ErrorRates(), 0.05))
    assert len(first) == 6
    assert all(torch.equal(a, b) for pair in zip(first, again, strict=True) for a, b in zip(*pair, strict=True))


def test_copy_practice_repeats_the_question() -> None:
    user, assistant = copy_practice(Random(0), ["pens"])
    assert user["content"] == assistant["content"]


def test_learning_rate_schedule() -> None:
    assert learning_rate(0, 1000, 1.0) == pytest.approx(1 / 200)
    assert learning_rate(200, 1000, 1.0) == learning_rate(599, 1000, 1.0) == 1.0
    assert learning_rate(800, 1000, 1.0) == pytest.approx(0.5)


def test_loss_ignores_padding() -> None:
    torch.manual_seed(0)
    logits, ids = torch.randn(1, 5, 9), torch.randint(0, 9, (1, 5))
    weights = torch.tensor([[0.0, 1.0, 0.05, 0.0, 0.0]])
    changed = logits.clone()
    changed[:, 2:] = 100 * torch.randn(1, 3, 9)
    assert torch.equal(weighted_loss(logits, ids, weights), weighted_loss(changed, ids, weights))


class _Script:
    """A stand-in model that writes given turns: the loop around it is what is tested."""

    def __init__(self, tokenizer: Any, turns: list[str]) -> None:
        self.turns = [ids_of(tokenizer, turn + "<|im_end|>") for turn in turns]

    def generate(self, input_ids: torch.Tensor, **_: object) -> torch.Tensor:
        turn = torch.tensor([self.turns.pop(0)])
        return torch.cat([input_ids, turn.expand(len(input_ids), -1)], dim=1)


def test_an_episode_with_a_malformed_a_failed_and_a_good_call(tokenizer: Any) -> None:
    task = generate_tasks(1, 0, Split.HELD_OUT)[0]
    turns = ["<tool_call>\n{\n</tool_call>", call_text("print(x)"), call_text("print(1)"), answer_text(task.answer)]
    executed: list[str] = []

    def execute(code: str) -> ToolResult:
        executed.append(code)
        return run_trusted(code)

    (episode,) = run_episodes(_Script(tokenizer, turns), tokenizer, [task], execute)
    assert executed == ["print(x)", "print(1)"]
    assert episode.calls == [CallOutcome.MALFORMED, CallOutcome.ERROR, CallOutcome.OK]
    assert episode.solved and summarise([episode])["repaired_later"]["rate"] == 1.0
    text = tokenizer.decode(episode.ids)
    assert "</tool_call><|im_end|>\n<|im_start|>user\n<tool_response>\nTool call failure" in text


def test_an_untrained_model_plays_to_the_end(tokenizer: Any, execute: Execute) -> None:
    torch.manual_seed(0)
    tasks = generate_tasks(len(FAMILIES), 0, Split.HELD_OUT)
    report = summarise(run_episodes(make_model(tokenizer).eval(), tokenizer, tasks, execute, max_turn_tokens=8))
    assert report["solved"]["n"] == len(FAMILIES)
    json.dumps(report)


def test_errors_read_as_the_judge_reads_them() -> None:
    tracebacks = pytest.importorskip("code_judge.tracebacks")
    rng = Random(4)
    for task in generate_tasks(24, 5, Split.TRAIN):
        for corruption in CORRUPTIONS:
            code = corruption(task.programs[-1], rng)
            result = run_trusted(code)
            if not result.ok:
                judged = tracebacks.parse_traceback(result.stderr, FILENAME)
                assert (judged.error_class, judged.message, judged.line) == (
                    result.error_class,
                    result.message,
                    result.line,
                )


def test_the_interpreters_hint_is_part_of_the_message(execute: Execute) -> None:
    assert execute("prnt(1)").message == "name 'prnt' is not defined. Did you mean: 'print'?"


def test_the_shipped_policy_is_the_one_its_card_describes(execute: Execute) -> None:
    folder = Path(__file__).parents[3] / "dataset" / "quickstart"
    weights = (folder / "policy" / "model.safetensors").read_bytes()
    assert hashlib.sha256(weights).hexdigest() in (folder / "CARD.md").read_text()
    shipped: Any = AutoTokenizer.from_pretrained(folder / "policy")
    assert shipped.chat_template == chat_template()
    assert shipped.eos_token == "<|im_end|>"
    model = AutoModelForCausalLM.from_pretrained(folder / "policy").eval()
    assert model.dtype == torch.float32 and model.config.vocab_size == len(shipped)
    assert model.generation_config.eos_token_id == [shipped.eos_token_id]
    torch.manual_seed(0)
    report = summarise(run_episodes(model, shipped, generate_tasks(36, 11, Split.HELD_OUT), execute))
    assert 0.2 < report["solved"]["rate"] < 0.75
    assert report["first_call"]["none"]["rate"] < 0.1
