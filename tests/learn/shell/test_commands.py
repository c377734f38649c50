"""What the commands print, checked against the real ones where a machine has them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from cleartrace.learn.shell import Limits, Shell

TEXT = "".join(f"line {n} of the run, price {n * 7 % 13}\n" for n in range(1, 61))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "runs"
    for run in ("run0", "run1"):
        (root / run).mkdir(parents=True)
        (root / run / "view.md").write_text(TEXT.replace("price 3", f"cost of {run}"))
    steps = [{"kind": "call", "name": f"tool{n}", "arguments": {"n": [n, n + 1]}} for n in range(3)]
    (root / "run0" / "trajectory.jsonl").write_text("".join(json.dumps(step) + "\n" for step in steps))
    (root / "all.json").write_text(json.dumps({"steps": steps, "task id": "t1"}))
    return root


@pytest.mark.parametrize(
    "line",
    [
        "cat run0/view.md", "head -n 3 run0/view.md", "head -3 run0/view.md", "head run0/view.md",
        "tail -n 4 run1/view.md",
        "tail -n +58 run0/view.md", "head -c 40 all.json", "tail -c 17 run0/view.md", "sed -n '3,5p' run0/view.md",
        "sed -n '7p' run0/view.md", "sed -n '59,$p' run0/view.md", "sed -n '$p' run0/view.md",
        "sed -n '/price 12/p' run0/view.md", "grep -n 'price 1$' run0/view.md", "grep -c price run0/view.md",
        "grep -i -n 'COST OF' run1/view.md", "grep -v price run1/view.md", "grep -o 'run, p[a-z]*' run0/view.md",
        "grep -n -A 1 -B 2 'price 10' run0/view.md", "grep -m 2 price run0/view.md", "grep -F 'price 1' run0/view.md",
        "grep -w -n 'line 5' run0/view.md", "head -n 2 run0/view.md run1/view.md", "cat run?/view.md",
        "diff -u run0/view.md run0/view.md",
    ],
)  # fmt: skip
def test_they_print_what_the_real_ones_print(folder: Path, line: str) -> None:
    real = subprocess.run(["bash", "-c", line], cwd=folder, capture_output=True, text=True, check=False).stdout
    # Between files the real head prints an empty line.
    assert Shell(folder).run(line) == (real.replace("\n\n", "\n").rstrip("\n") or "[nothing]")


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        ("ls", "all.json\nrun0/\nrun1/"),
        ("ls run0", "trajectory.jsonl\nview.md"),
        ("ls /run1/", "view.md"),
        ("wc -l run0/view.md", "      60 run0/view.md"),
        ("jq .name run0/trajectory.jsonl", '"tool0"\n"tool1"\n"tool2"'),
        ("jq -r .steps[1].arguments.n[-1] all.json", "2"),
        ("jq -r '.steps[].name' all.json", "tool0\ntool1\ntool2"),
        ("jq '.[\"task id\"]' all.json", '"t1"'),
        ("jq '.steps | length' all.json", "3"),
        ("jq '. | keys' all.json", '["steps", "task id"]'),
        ("jq .nothing.there[4] all.json", "null"),
        ("grep -r -l 'cost of run1' .", "run1/view.md"),
        ("rg 'cost of run1' | head", "[refused: pipes are not available; run one command at a time]"),
        ("grep -n zebra run0/view.md", "(no match)"),
    ],
)
def test_they_print(folder: Path, line: str, reply: str) -> None:
    assert Shell(folder).run(line) == reply


def test_jq_reads_lines_of_any_length(folder: Path) -> None:
    (folder / "long.jsonl").write_text("".join(json.dumps({"text": "x" * 200_000, "n": n}) + "\n\n" for n in range(2)))
    (folder / "long.json").write_text(json.dumps({"text": "x" * 200_000, "n": 7}))
    assert Shell(folder).run("jq .n long.jsonl") == "0\n1" and Shell(folder).run("jq .n long.json") == "7"


def test_ls_shows_folders_and_sizes(folder: Path) -> None:
    assert "run0:\ntrajectory.jsonl\nview.md" in Shell(folder).run("ls -R")
    assert f"{(folder / 'all.json').stat().st_size:,} all.json" in Shell(folder).run("ls -l")


def test_diff_shows_both_sides(folder: Path) -> None:
    reply = Shell(folder).run("diff run0/view.md run1/view.md")
    assert "-line 6 of the run, cost of run0" in reply and "+line 6 of the run, cost of run1" in reply


def test_a_long_reply_is_cut_and_says_where_to_go_on(folder: Path) -> None:
    shell = Shell(folder, Limits(call_bytes=300))
    reply = shell.run("cat run0/view.md")
    body, note = reply.rsplit("\n", 1)
    assert len(body.encode()) <= 300 and note.startswith("[cut at 300 bytes; line ")
    following = int(note.split("; line ")[1].split()[0])
    assert body.splitlines()[-1].startswith(f"line {following - 1} ")
    assert shell.run(f"sed -n '{following},{following}p' run0/view.md").startswith(f"line {following} ")


def test_budgets_of_calls_and_bytes_hold(folder: Path) -> None:
    shell = Shell(folder, Limits(calls=2))
    assert shell.run("ls") and shell.run("nonsense") and "all 2 calls are used" in shell.run("ls")
    shell = Shell(folder, Limits(total_bytes=500, call_bytes=400))
    replies = [shell.run("cat run0/view.md") for _ in range(40)]
    assert sum(call.bytes for call in shell.log) <= 500 and "bytes are read" in replies[-1] or shell.bytes_left < 40


def test_every_call_is_logged(folder: Path) -> None:
    shell = Shell(folder)
    for line in ("ls", "rm -rf /", "cat run0/view.md"):
        shell.run(line)
    assert [(call.line, call.ended.value) for call in shell.log] == [
        ("ls", "ok"), ("rm -rf /", "refused"), ("cat run0/view.md", "ok"),
    ]  # fmt: skip
    assert shell.log[1].reason.startswith("refused: there is no command 'rm'") and shell.log[2].bytes > 1000


def test_the_help_names_every_command(folder: Path) -> None:
    from cleartrace.learn.shell.commands import COMMANDS

    assert all(f"\n{name} " in Shell(folder).help for name in COMMANDS if name != "rg")
