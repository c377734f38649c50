"""A14: whatever an agent writes, it reads the files it was given, writes nothing, and gets a reason."""

from __future__ import annotations

import os
import random
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleartrace.learn.shell import Limits, Shell
from cleartrace.learn.shell.shell import Ended

SECRET = "the-secret-outcome"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "run0").mkdir(parents=True)
    (root / "run0" / "view.md").write_text("a plain run\n")
    (tmp_path / "outcome.json").write_text(SECRET)
    (tmp_path / "root-of-another").mkdir()
    (tmp_path / "root-of-another" / "view.md").write_text(SECRET)
    os.symlink(tmp_path / "outcome.json", root / "link")
    os.symlink(tmp_path, root / "up")
    os.symlink(root / "loop", root / "loop")
    os.symlink(root / "run0" / "view.md", root / "inside")
    return root


ESCAPES = [
    "cat ../outcome.json", "cat run0/../../outcome.json", "cat /etc/passwd", "cat //etc/passwd", "cat link",
    "cat up/outcome.json", "ls up", "ls ..", "ls -R up", "cat loop", "cat ../root-of-another/view.md",
    "cat /proc/self/environ", "head -n 5 ../*", "cat '../outcome.json'", 'cat "../outcome.json"',
    "cat .\\./outcome.json", "cat run0//..//..//outcome.json", "grep -r secret ..", "grep -r secret up",
    "grep secret link", "wc -c link", "diff link run0/view.md", "jq . link", "sed -n '1p' link",
    "tail -c 10 up/outcome.json", "cat */../../outcome.json", "cat u*/outcome.json", "ls u*",
]  # fmt: skip
INJECTIONS = [
    "cat run0/view.md; ls", "cat run0/view.md && ls", "cat run0/view.md | sh", "ls &", "cat < run0/view.md",
    "ls > out", "ls >> out", "cat $(ls)", "cat `ls`", "echo $HOME", 'cat "$HOME"', 'cat "`id`"', "cat <(ls)", "(ls)",
    "ls\nls", "ls\rls", "ls\x00", "ls \x1b[2J", "ls \u202e", "ls \u2028ls", "bash -c ls", "python3 -c 1", "env", "sh",
    "./run0", "/bin/ls", "ls ${IFS}", "sed -n 'w out' run0/view.md", "sed -n '1w out' run0/view.md",
    "sed -i 's/a/b/' run0/view.md", "sed -n '1e id' run0/view.md", "sed 's/a/b/w out' run0/view.md",
    "sed -n -i '1p' run0/view.md", "sed -n -f script run0/view.md", "sed -n '1r /etc/passwd' run0/view.md",
    "sed -n '1p;w out' run0/view.md", "sed --in-place -n '1p' run0/view.md", "grep -f /etc/passwd run0/view.md",
    "grep --include=x a run0/view.md", "grep -P a run0/view.md", "rg --pre=sh a run0/view.md", "rg --pre sh a .",
    "ls --help", "cat -o out run0/view.md", "head --bytes=3 run0/view.md",
    "diff --to-file=x run0/view.md run0/view.md", "diff -r . .", "jq -f prog run0/view.md", "jq 'env' run0/view.md",
    "jq 'input' run0/view.md", "jq '$ENV' run0/view.md", "wc --files0-from=x", "tail -f run0/view.md", "cat -",
    "cat 'unclosed", "find . -exec id", "curl http://x", "", "   ", "#", "cat " + "a" * 300, "cat " + "x" * 5000,
    "head -n -1 run0/view.md", "head -n 99999999999999999999 run0/view.md", "grep -A 999999999 a run0/view.md",
]  # fmt: skip


def snapshot(folder: Path) -> dict[str, tuple[int, float]]:
    return {str(p): (p.lstat().st_size, p.lstat().st_mtime) for p in sorted(folder.parent.rglob("*"))}


@pytest.mark.parametrize("line", ESCAPES)
def test_nothing_outside_is_read(folder: Path, line: str) -> None:
    shell, before = Shell(folder), snapshot(folder)
    reply = shell.run(line)
    assert SECRET not in reply and "root:" not in reply and "outcome.json\n" not in reply
    assert shell.log[0].ended is Ended.REFUSED and shell.log[0].reason and snapshot(folder) == before


@pytest.mark.parametrize("line", INJECTIONS)
def test_nothing_else_is_run_and_nothing_is_written(folder: Path, line: str) -> None:
    shell, before = Shell(folder), snapshot(folder)
    reply = shell.run(line)
    assert reply.startswith("[refused: ") and shell.log[0].ended is Ended.REFUSED
    assert snapshot(folder) == before and not Path("out").exists()


def test_links_inside_are_files_like_others_and_links_outside_are_not_there(folder: Path) -> None:
    shell = Shell(folder)
    assert shell.run("ls") == "inside\nrun0/" and shell.run("cat inside") == "a plain run"


def test_a_quoted_dollar_or_bar_is_part_of_a_pattern(folder: Path) -> None:
    assert Shell(folder).run("grep -n 'run$|walk$' run0/view.md") == "1:a plain run"


def test_a_pattern_cannot_hang(folder: Path) -> None:
    (folder / "many").write_text("a" * 40_000 + "b\n")
    shell, begun = Shell(folder), time.monotonic()
    assert shell.run("grep '(a+)+$' many") == "(no match)"
    assert time.monotonic() - begun < 3


@pytest.mark.parametrize(
    "pattern", ["a{100000000}", "(?:(?:a{1000}){1000}){1000}", "(?R)", r"(a)\1", "(", "(((x{90}){90}){90}){90}"]
)
def test_a_pattern_cannot_take_the_memory(folder: Path, pattern: str) -> None:
    shell = Shell(folder)
    assert "is wrong: " in shell.run(f"grep -r '{pattern}'")
    assert shell.log[0].ended is Ended.REFUSED


def test_a_search_is_stopped_at_the_end_of_its_time(folder: Path) -> None:
    (folder / "many").write_text("ab\n" * 3_000_000)
    shell, begun = Shell(folder, Limits(call_seconds=0.2)), time.monotonic()
    assert "stopped after 0.2 s" in shell.run("grep -c 'x|y' many")
    assert time.monotonic() - begun < 3 and shell.log[0].ended is Ended.TOO_LONG


@pytest.mark.parametrize("pattern", ["(a?){1000}" * 12, "((a?){30}){30}c", "(a|aa){900}c"])
def test_no_pattern_is_searched_for_long_in_one_line(folder: Path, pattern: str) -> None:
    (folder / "long").write_text("a" * 60_000)
    assert _stopped(Shell(folder, Limits(call_seconds=0.2)), f"grep -c '{pattern}' long")


def test_diff_is_stopped_at_the_end_of_its_time(folder: Path) -> None:
    """Lines that recur, each just too seldom for difflib to pass it over: nothing costs it more."""
    stream = random.Random(1)
    for name in ("one", "other"):
        (folder / name).write_text("".join(f"{stream.randrange(150)}\n" for _ in range(60_000)))
    assert _stopped(Shell(folder, Limits(call_seconds=0.2)), "diff one other")


def test_jq_is_stopped_at_the_end_of_its_time(folder: Path) -> None:
    """A path that leads nowhere, in many steps: nothing is written on the way."""
    (folder / "lists.json").write_text(f"[{'[],' * 500_000}[]]")
    assert _stopped(Shell(folder, Limits(call_seconds=0.2)), f"jq .[]{'.a' * 300}[] lists.json")


def test_naming_a_folder_many_times_is_stopped_at_the_end_of_its_time(folder: Path) -> None:
    for number in range(150):
        (folder / f"empty{number}").touch()
    for command in ("grep -r x" + " ." * 1900, "wc" + " e*" * 1300, "sed -n 1p" + " e*" * 1300):
        assert _stopped(Shell(folder, Limits(call_seconds=0.2)), command)


def _stopped(shell: Shell, line: str) -> bool:
    """Soon, by the processor's time: other work on the machine does not count. Or refused, before any time went by."""
    begun = time.process_time()
    shell.run(line)
    return time.process_time() - begun < 3 and shell.log[0].ended in (Ended.TOO_LONG, Ended.REFUSED)


def test_a_huge_file_costs_neither_memory_nor_time(folder: Path) -> None:
    import tracemalloc

    with (folder / "huge").open("wb") as file:
        file.truncate(20 << 30)  # sparse: 20 GiB of null characters, in one line
    shell = Shell(folder, Limits(call_seconds=0.2))
    tracemalloc.start()
    try:
        for line in (
            "cat huge",
            "head -n 1 huge",
            "tail -n 99999 huge",
            "tail -c 99 huge",
            "wc huge",
            "grep x huge",
            "sed -n '$p' huge",
        ):
            begun = time.monotonic()
            shell.run(line)
            assert time.monotonic() - begun < 3, line
        assert tracemalloc.get_traced_memory()[1] < 200 << 20
    finally:
        tracemalloc.stop()
    assert "reads at most" in shell.run("jq . huge") and "reads at most" in shell.run("diff huge huge")


def test_binary_and_control_characters_come_out_as_escapes(folder: Path) -> None:
    (folder / "binary").write_bytes(b"\x1b[2Jclear \x00\xff\x9b31m \xe2\x80\xae\n")
    reply = Shell(folder).run("cat binary")
    assert all(char.isprintable() for char in reply) and "\\u001b[2J" in reply and "\\u202e" in reply


def test_pipes_and_devices_are_no_files(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    shell, begun = Shell(folder), time.monotonic()
    assert "not a regular file" in shell.run("cat pipe") and time.monotonic() - begun < 2


def test_a_link_that_is_changed_meanwhile_leads_nowhere(folder: Path) -> None:
    """Between looking and opening, a path may become a link: it is not followed."""
    files = Shell(folder).files
    path = files.at("run0/view.md")
    path.unlink()
    os.symlink(folder.parent / "outcome.json", path)
    with pytest.raises(ValueError, match="view.md"):
        files.open(path)


def test_several_shells_at_once_do_not_disturb_each_other(folder: Path) -> None:
    replies: list[str] = []
    shells = [Shell(folder) for _ in range(8)]
    threads = [
        threading.Thread(target=lambda s=s: replies.extend(s.run("cat run0/view.md") for _ in range(20)))
        for s in shells
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert replies == ["a plain run"] * 160


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.sampled_from("lscathedgrp -/.*'\"\\$`|&;<>()[]{}?!#0w\n\t\x00\u202eü"), max_size=40))
def test_any_line_gets_a_reply(tmp_path_factory: pytest.TempPathFactory, line: str) -> None:
    root = tmp_path_factory.getbasetemp() / "any" / "root"
    root.mkdir(parents=True, exist_ok=True)
    (root.parent / "secret").write_text(SECRET)
    (root / "view.md").write_text("plain\n")
    shell = Shell(root)
    reply = shell.run(line)
    assert reply and SECRET not in reply and len(shell.log) == 1
