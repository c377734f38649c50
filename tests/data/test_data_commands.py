"""The commands of docs/data.md and data_filter.sh name options that exist, and the script has the published ratios."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer.main

from cleartrace.data.cli import app
from cleartrace.data.selection import PUBLISHED_RATIOS, parse_ratios

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = typer.main.get_command(app).commands  # pyright: ignore[reportAttributeAccessIssue]


def documented() -> list[list[str]]:
    blocks = re.findall(r"^```bash\n(.*?)^```", (ROOT / "docs/data.md").read_text(), re.M | re.S)
    lines = [shlex.split(line, comments=True) for block in blocks for line in block.splitlines()]
    return [words for words in lines if words]


def unknown_words(words: list[str]) -> list[str]:
    """Options, and values of choices, that the command does not have."""
    name, given = ("filter", words[2:]) if words[:2] == ["bash", "data_filter.sh"] else (words[2], words[3:])
    context = COMMANDS[name].make_context(name, list(given), resilient_parsing=True)
    known = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    return [word for word in given if word.startswith("--") and word not in known] + context.args


@pytest.mark.parametrize("words", documented(), ids=lambda words: " ".join(words)[:70])
def test_documented_commands_parse(words: list[str]) -> None:
    assert unknown_words(words) == []


def test_there_is_a_documented_command_for_each_subcommand() -> None:
    used = {words[2] for words in documented() if words[0] == "cleartrace"} | {"filter"}
    assert used == set(COMMANDS)


def test_an_unknown_option_is_found() -> None:
    assert unknown_words(["cleartrace", "data", "attach-ids", "--stat", "x"]) != []


def test_the_script_has_the_published_ratios() -> None:
    (ratios,) = re.findall(r'^RATIOS="(.*)"$', (ROOT / "data_filter.sh").read_text(), re.M)
    assert parse_ratios(ratios) == parse_ratios(PUBLISHED_RATIOS)
