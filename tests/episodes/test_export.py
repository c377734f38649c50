"""Chat rows and tables."""

import csv
import json

from make_episode import episode

from cleartrace.episodes.export import chat, export_csv, export_sft
from cleartrace.episodes.importers.messages import steps_of
from cleartrace.episodes.store import EpisodeStore
from cleartrace.episodes.types import Context, Step, StepKind, Trajectory, Usage

MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Look."},
    {
        "role": "assistant",
        "content": "I look.",
        "reasoning_content": "Hm.",
        "tool_calls": [{"id": "1", "type": "function", "function": {"name": "open", "arguments": '{"n": 1}'}}],
    },
    {"role": "tool", "tool_call_id": "1", "content": "dust"},
    {"role": "assistant", "content": "Dust."},
]


def run_of(steps, text="") -> Trajectory:
    return Trajectory(environment="e", task_id="t", agent="a", steps=tuple(steps), context=Context(text=text))


def test_a_conversation_survives_import_and_export():
    assert chat(run_of(steps_of(MESSAGES))) == MESSAGES


def test_the_context_ends_the_system_prompt_and_can_be_left_out():
    trajectory = run_of(steps_of(MESSAGES), text="[s-1] Look twice.")
    assert chat(trajectory)[0]["content"] == "Be brief.\n\n[s-1] Look twice."
    assert chat(trajectory, with_context=False) == MESSAGES


def test_calls_in_plain_text_stay_text():
    block = '{"name": "open"}'
    steps = (
        Step(kind=StepKind.INPUT, name="user", text="Look."),
        Step(kind=StepKind.MESSAGE, text=f"```tool\n{block}\n```"),
        Step(kind=StepKind.CALL, name="open", arguments={}, text=block),
        Step(kind=StepKind.RESULT, name="open", text="dust"),
        Step(kind=StepKind.INPUT, name="user", text="Go on."),
    )
    roles = [(message["role"], message["content"]) for message in chat(run_of(steps))]
    assert roles == [("user", "Look."), ("assistant", f"```tool\n{block}\n```"), ("user", "dust\n\nGo on.")]


def test_sft_takes_clean_runs_from_a_score_up(tmp_path):
    store = EpisodeStore(tmp_path)
    good = store.add(episode(seed=0))
    half = store.add(episode(seed=1, score=0.5))
    for run in (episode(seed=2, score=None), episode(seed=3, context=Context(probe="p")), episode(seed=4, steps=())):
        store.add(run)
    out = tmp_path / "sft.jsonl"
    for least, ids in ((1.0, [good]), (0.5, [good, half])):
        assert export_sft(store, store.find(), out, min_score=least) == len(ids)
        assert [json.loads(line)["episode"] for line in out.read_text().splitlines()] == ids


def test_the_table_says_what_each_run_was_and_cost(tmp_path):
    store = EpisodeStore(tmp_path)
    store.add(episode(seed=0, usage=Usage(calls=2, output_tokens=9, cost=0.5), seconds=1.5))
    store.add(episode(seed=1, score=None))
    assert export_csv(store, store.find(), tmp_path / "runs.csv") == 2
    with (tmp_path / "runs.csv").open() as file:
        first, lost = csv.DictReader(file)
    assert (first["score"], first["passed"], first["cost"], first["output_tokens"]) == ("1.0", "True", "0.5", "9")
    assert (lost["score"], lost["failure"], lost["blame"], lost["cost"]) == ("", "engine", "engine", "")
