"""Runs of other programs: what is read, what is refused, and that no judgement gets into a trajectory."""

import json

import pytest
from make_episode import episode

from cleartrace.episodes.importers.common import Refused, Source
from cleartrace.episodes.importers.formats import guess, import_into
from cleartrace.episodes.names import Format
from cleartrace.episodes.render import render
from cleartrace.episodes.store import EpisodeStore
from cleartrace.episodes.types import Episode, FailureKind, RunKind, StepKind, StopReason
from cleartrace.episodes.view import file_view
from cleartrace.tools.result import Blame
from cleartrace.trajectory.record import SegmentRecord, ToolCallRecord, TrajectoryRecord

CANARY = "CANARY-51c"


def lines(path, *rows):
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def taken(tmp_path, source, format=None, **names) -> tuple[list[Episode], list[Refused]]:
    store = EpisodeStore(tmp_path / "store")
    report = import_into(store, Source(source, **names), format)
    again = import_into(EpisodeStore(tmp_path / "store"), Source(source, **names), format)
    assert (again.added, again.known) == (0, report.added + report.known)
    return [store.get(row.id) for row in store.find()], report.refused


def kinds(run: Episode) -> list[tuple[str, str]]:
    return [(step.kind.value, step.name) for step in run.trajectory.steps]


OPENAI = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {"url": "x"}}]},
    {
        "role": "assistant",
        "content": None,
        "reasoning_content": "Hm.",
        "tool_calls": [
            {"id": "1", "type": "function", "function": {"name": "open", "arguments": '{"n": 1}'}},
            {"id": "2", "type": "function", "function": {"name": "open", "arguments": "{n: "}},
        ],
    },
    {"role": "tool", "tool_call_id": "1", "content": "dust"},
    {"role": "tool", "tool_call_id": "2", "content": "unreadable"},
    {"role": "assistant", "content": "Dust."},
]
ANTHROPIC = [
    {"role": "user", "content": "Look"},
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "s"},
            {"type": "text", "text": "I look."},
            {"type": "tool_use", "id": "1", "name": "open", "input": {"n": 1}},
        ],
    },
    {
        "role": "user",
        "content": [
            {
                "type": "tool_result",
                "tool_use_id": "1",
                "content": [{"type": "text", "text": "dust"}],
                "is_error": True,
            },
            {"type": "text", "text": "Go on."},
        ],
    },
    {"role": "assistant", "content": [{"type": "text", "text": "Dust."}]},
]
CONVERSE = [
    {"role": "user", "content": [{"text": "Look"}]},
    {
        "role": "assistant",
        "content": [
            {"reasoningContent": {"reasoningText": {"text": "Hm."}}},
            {"text": "I look."},
            {"toolUse": {"toolUseId": "1", "name": "open", "input": {"n": 1}}},
        ],
    },
    {
        "role": "user",
        "content": [
            {"toolResult": {"toolUseId": "1", "status": "error", "content": [{"json": {"saw": "dust"}}]}},
            {"text": "Go on."},
        ],
    },
    {"role": "assistant", "content": [{"text": "Dust."}]},
]


def test_openai_messages(tmp_path):
    row = {"messages": OPENAI, "task_id": "t", "model": "m", "score": True, "seed": 4, "gold": CANARY}
    (run,), refused = taken(tmp_path, lines(tmp_path / "log.jsonl", row))
    assert refused == [] and run.outcome.score == 1.0 and run.outcome.details == {"log": {"gold": CANARY}}
    trajectory = run.trajectory
    assert (trajectory.environment, trajectory.task_id, trajectory.agent, trajectory.seed) == ("log", "t", "m", 4)
    assert kinds(run) == [
        ("input", "system"),
        ("input", "user"),
        ("thought", ""),
        ("call", "open"),
        ("call", "open"),
        ("result", "open"),
        ("result", "open"),
        ("message", ""),
    ]
    assert trajectory.steps[1].text == "Look\n[image]"
    assert [(step.arguments, step.text) for step in trajectory.steps[3:5]] == [({"n": 1}, ""), (None, "{n: ")]
    assert (trajectory.output, trajectory.turns) == ("Dust.", 2)
    assert CANARY not in render(trajectory)


@pytest.mark.parametrize(("messages", "answer"), [(ANTHROPIC, "dust"), (CONVERSE, '{"saw": "dust"}')])
def test_anthropic_and_converse_messages(tmp_path, messages, answer):
    row = {"system": [{"type": "text", "text": "Be brief."}], "messages": messages, "score": 0.5}
    (run,), refused = taken(tmp_path, lines(tmp_path / "log.jsonl", row), environment="env")
    assert refused == []
    assert kinds(run) == [
        ("input", "system"),
        ("input", "user"),
        ("thought", ""),
        ("message", ""),
        ("call", "open"),
        ("result", "open"),
        ("input", "user"),
        ("message", ""),
    ]
    result = run.trajectory.steps[5]
    assert (result.text, result.is_error, result.call_id) == (answer, True, "1")
    assert run.trajectory.steps[2].text == "Hm." and run.trajectory.steps[4].arguments == {"n": 1}


def test_runs_on_one_text_are_one_task_and_a_run_nobody_scored_does_not_count(tmp_path):
    rows = [{"messages": [{"role": "user", "content": text}]} for text in ("a", "a", "b")]
    runs, _ = taken(tmp_path, lines(tmp_path / "log.jsonl", *rows))
    assert sorted(run.trajectory.seed for run in runs) == [0, 0, 1] and len({run.task_id for run in runs}) == 2
    failure = runs[0].outcome.failure
    assert failure is not None and failure.kind is FailureKind.JUDGE and not runs[0].outcome.scored


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"messages": []}, "not a list of messages"),
        ({"messages": ["hi"]}, "not an object"),
        ({"messages": [{"role": "narrator", "content": "x"}]}, "role 'narrator'"),
        ({"messages": [{"role": "user", "content": [{"type": "hologram"}]}]}, "unknown type 'hologram'"),
        ({"messages": [{"role": "user", "content": "x"}], "score": 7}, "score is 7"),
        ({"messages": [{"role": "assistant", "tool_calls": ["x"]}]}, "no function"),
    ],
)
def test_a_bad_line_is_refused_with_its_reason_and_the_rest_is_read(tmp_path, row, reason):
    path = lines(tmp_path / "log.jsonl", row, {"messages": OPENAI})
    runs, refused = taken(tmp_path, path, Format.MESSAGES)
    assert len(runs) == 1 and refused[0].where.endswith("line 1") and reason in refused[0].reason


def test_a_torn_file_is_read_up_to_the_tear(tmp_path):
    runs, refused = taken(tmp_path, lines(tmp_path / "log.jsonl", {"messages": OPENAI}, '{"messages": ['))
    assert len(runs) == 1 and "the rest of the file was not read" in refused[0].reason


def record(**fields) -> dict:
    def segment(kind, text, **more):
        return SegmentRecord(kind=kind, token_ids=[1], pieces=[text], loss=False, **more)

    def call(code, status, kept=True):
        return ToolCallRecord(position=1, attempt=0, code=code, status=status, text="", kept=kept)

    made = TrajectoryRecord(
        run="demo",
        step=3,
        split="train",
        arm="on",
        sample_id="s1",
        rollout=2,
        data_source="math",
        question="6*7?",
        ground_truth=CANARY,
        prediction="42",
        reward=0.8125317,
        acc=True,
        num_turns=2,
        segments=[
            segment("prompt", "6*7?"),
            segment("assistant_reasoning", "I compute."),
            segment("assistant_call", "<call>6*7"),
            segment("boundary", "<x>"),
            segment("tool", "42"),
            segment("assistant_reasoning", "It is 42."),
        ],
        tool_calls=[call("bad", "program_error", kept=False), call("6*7", "ok")],
        repairs=[],
        generated_tokens=9,
        discarded_tokens=0,
    )
    return {**made.model_dump(mode="json"), **fields}


def test_trajectories_of_a_training_run(tmp_path):
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    lines(run_dir / "trajectories.jsonl", record(), record(rollout=3, masked=True), record(rollout=4, segments=5))
    runs, refused = taken(tmp_path, run_dir)
    run, lost = runs
    assert kinds(run) == [("input", "user"), ("thought", ""), ("call", "code"), ("result", "code"), ("message", "")]
    assert run.trajectory.steps[2].arguments == {"code": "6*7"} and run.trajectory.output == "It is 42."
    assert (run.trajectory.environment, run.task_id, run.trajectory.seed) == ("math", "s1", 2)
    assert run.outcome.score == 1.0 and lost.outcome.score is None and lost.outcome.failure is not None
    assert lost.outcome.failure.kind.blame is Blame.SANDBOX
    assert len(refused) == 1 and "segments" in refused[0].reason
    with file_view(runs, tmp_path) as view:
        text = "".join(path.read_text() for path in view.folder.rglob("*") if path.is_file())
    assert CANARY not in text and "0.8125317" not in text


def trace(task_id="t1", **metadata) -> dict:
    metadata = {"pass_pct": 0.5, "evaluation_details": CANARY, "n_tool_calls": 1} | metadata
    return {"task_id": task_id, "input_query": "Q", "system_output": "A", "trace": "text", "metadata": metadata}


STEPS = [
    {"type": "reasoning", "text": "Hm."},
    {"type": "tool_call", "tool_name": "open", "arguments": {"n": 1}, "output": "dust"},
    {"type": "output_text", "text": "Dust."},
]


def rcl_run(tmp_path, traces: dict[str, dict]):
    for name, value in traces.items():
        path = tmp_path / "out" / "iterations" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value))
    return tmp_path / "out"


def test_traces_of_the_published_rcl(tmp_path):
    usage = {"input_tokens": 7, "output_tokens": 3}
    out = rcl_run(
        tmp_path,
        {
            "iter_2/traces/t1.json": trace(afc_trace=STEPS, duration_s=2.5, usage=usage),
            "iter_2/traces/t2.json": trace("t2", infra_error=True),
            "iter_2/traces/t3.json": trace("t3", timed_out=True),
            "iter_2/traces/t4.json": trace("t4", error="boom", n_tool_calls=0),
            "iter_2/traces/t5.json": trace("t5", error="boom"),
            "iter_2/traces/t6.json": trace("t6", pass_pct=33),
            "iter_2/traces/t7.json": trace("t7", afc_trace=[{"type": "dance"}]),
        },
    )
    runs, refused = taken(tmp_path, out, environment="appworld")
    by_task = {run.task_id: run for run in runs}
    first = by_task["t1"]
    assert kinds(first) == [("input", "user"), ("thought", ""), ("call", "open"), ("result", "open"), ("message", "")]
    assert (first.outcome.score, first.outcome.feedback, first.trajectory.output) == (0.5, CANARY, "A")
    assert first.trajectory.usage.output_tokens == 3 and first.trajectory.context.provider_hash == "rcl/iter_2"
    assert [by_task[task].outcome.score for task in ("t2", "t3", "t4", "t5")] == [None, 0.0, None, 0.0]
    assert by_task["t3"].trajectory.stop is StopReason.TIME_LIMIT
    assert ["t6.json" in one.where or "t7.json" in one.where for one in refused] == [True, True]
    assert not any(CANARY in render(run.trajectory) for run in runs)


def test_r13_no_ghost_tasks_come_from_names_and_prefixes(tmp_path):
    """Dual traces and groups: four runs of one task, whatever the files and prefixes say."""
    out = rcl_run(
        tmp_path,
        {
            "iter_1/traces/t1__r1.json": trace("t1", rollout_index=0, pp_trace="perturbed text", pp_pass_pct=1.0),
            "iter_1/traces/t1__r2.json": trace("t1__r2", rollout_index=1, rollout_id="t1__r2"),
            "iter_1/traces/t1__r3.json": trace("__pp__t1", rollout_index=2),
            "iter_1/traces/x__r2.json": trace("x__r2", rollout_index=0),
        },
    )
    runs, refused = taken(tmp_path, out)
    assert refused == [] and {run.task_id for run in runs} == {"t1", "x__r2"}
    seen = sorted((run.task_id, run.trajectory.seed, run.trajectory.kind.value) for run in runs)
    assert seen == [
        ("t1", 0, "clean"),
        ("t1", 0, "probe"),
        ("t1", 1, "clean"),
        ("t1", 2, "probe"),
        ("x__r2", 0, "clean"),
    ]


def test_a4_browsecomp_traces_are_refused_for_the_marks_in_them(tmp_path):
    out = rcl_run(tmp_path, {"iter_1/traces/t1.json": trace()})
    runs, refused = taken(tmp_path, out, environment="BrowseComp-Plus")
    assert runs == [] and "leak" in refused[0].reason


def test_clear_replay_folders(tmp_path):
    replay = tmp_path / "training_data" / "appworld" / "replay"
    store = EpisodeStore(tmp_path / "other")
    ours = store.path(store.add(episode("t1", seed=0)))
    for n in (0, 1):
        (replay / f"run{n}" / "t1").mkdir(parents=True)
    for path in ours.iterdir():
        (replay / "run0" / "t1" / path.name).write_bytes(path.read_bytes())
    (replay / "run1" / "t1" / "messages.json").write_text(json.dumps(CONVERSE))
    (replay / "run1" / "t2").mkdir()
    (replay / "run1" / "t2" / "blob.pickle").write_bytes(b"x")
    runs, refused = taken(tmp_path, replay)
    assert [(run.trajectory.environment, run.task_id, run.trajectory.seed) for run in runs] == [
        ("appworld", "t1", 1),
        ("env", "t1", 0),
    ]
    assert runs[0].trajectory.steps[-1].kind is StepKind.MESSAGE
    assert len(refused) == 1 and "blob.pickle" in refused[0].reason and refused[0].where.endswith("t2")


def test_stores_are_merged(tmp_path):
    other = EpisodeStore(tmp_path / "other")
    for seed in range(3):
        other.add(episode(seed=seed))
    runs, _ = taken(tmp_path, tmp_path / "other")
    assert runs == [episode(seed=seed) for seed in range(3)]
    assert all(run.trajectory.kind is RunKind.CLEAN for run in runs)


def test_a_source_in_no_known_form_says_what_to_do(tmp_path):
    lines(tmp_path / "x.jsonl", {"a": 1})
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "x.jsonl", tmp_path / "empty"):
        with pytest.raises(ValueError, match="--format: messages, training, rcl, clear, store"):
            guess(path)
    with pytest.raises(ValueError, match="there is nothing at"):
        guess(tmp_path / "none")
