"""`cleartrace data fetch` against a loopback stand-in of the hub, a folder, and no network at all."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from cleartrace.cli import app
from cleartrace.data.hub import FILES
from cleartrace.data.names import PublishedSet
from tests.data.hub_server import COMMIT, hub_server
from tests.data.sources import AIME_2024, AIME_2025, GPQA, LCB, MATH, write

ROOT = Path(__file__).resolve().parents[2]
EVAL = "Gen-Verse/Open-AgentRL-Eval"
AIME_PATH = "aime2024/aime_2024_problems.parquet"


def parquet(row: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([row]), buffer)
    return buffer.getvalue()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Gives the address of a hub, or with "" says that there is none."""
    from huggingface_hub import constants

    def use(endpoint: str) -> None:
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
        # huggingface_hub has read this variable when it was imported, and the tests run with it.
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", not endpoint)
        monkeypatch.setenv("HF_HUB_OFFLINE", "" if endpoint else "1")

    return use


def run(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["data", "fetch", *words, "--output-dir", str(folder / "raw")])


def run_process(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command as a user starts it, with nothing but its environment to say where the hub is."""
    env = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    env |= {"HF_HOME": str(folder / "home"), **environment}
    command = [sys.executable, "-m", "cleartrace.cli", "data", "fetch", *words, "--output-dir", str(folder / "raw")]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)


def test_a_set_comes_with_a_note_of_where_it_is_from(tmp_path: Path) -> None:
    body = parquet(AIME_2024)
    with hub_server({EVAL: {AIME_PATH: body}}, token="secret") as (endpoint, requests):
        done = run_process(tmp_path, "aime2024", HF_ENDPOINT=endpoint, HF_TOKEN="secret")
        assert done.returncode == 0, done.stderr
        before = len(requests)
        assert "was there already" in run(tmp_path, "aime2024").output and len(requests) == before
    target = tmp_path / "raw" / AIME_PATH
    assert target.read_bytes() == body
    assert f"next: cleartrace data prepare --profile aime --arms both {target} data/aime24.parquet" in done.stdout
    note = json.loads(target.with_name(target.name + ".source.json").read_text())
    assert note == {
        "repo": EVAL,
        "path": AIME_PATH,
        "commit": COMMIT,
        "sha256": hashlib.sha256(body).hexdigest(),
        "bytes": len(body),
    }
    left = sorted(path.name for path in (tmp_path / "raw").rglob("*"))
    assert left == ["aime2024", target.name, target.name + ".source.json"]


def test_a_set_that_is_not_shown_asks_for_a_token(tmp_path: Path, hub: Callable[[str], None]) -> None:
    with hub_server({EVAL: {AIME_PATH: b""}}, token="secret") as (endpoint, _):
        hub(endpoint)
        done = run(tmp_path, "aime2024")
    assert done.exit_code == 2
    assert "does not show Gen-Verse/Open-AgentRL-Eval" in done.output and "HF_TOKEN" in done.output


def test_a_file_with_other_columns_does_not_arrive(tmp_path: Path, hub: Callable[[str], None]) -> None:
    with hub_server({EVAL: {AIME_PATH: parquet(GPQA), "gpqa.parquet": b""}}) as (endpoint, _):
        hub(endpoint)
        done = run(tmp_path, "aime2024")
        assert done.exit_code == 2
        assert "there is no column Problem, Answer; it has data_source, problem, solution, domain" in done.output
        assert not (tmp_path / "raw" / AIME_PATH).exists()
        assert f"its parquet files: {AIME_PATH}, gpqa.parquet" in run(tmp_path, "lcb").output
        assert f"{EVAL} has no revision 'v9'" in run(tmp_path, "aime2024", "--revision", "v9").output


def test_without_a_network_the_message_says_what_to_copy_where(tmp_path: Path, hub: Callable[[str], None]) -> None:
    # Port 9 of loopback refuses the connection at once.
    for endpoint, reason in (("http://127.0.0.1:9", "http://127.0.0.1:9: "), ("", "HF_HUB_OFFLINE is set")):
        hub(endpoint)
        done = run(tmp_path, "aime2024")
        assert done.exit_code == 2 and isinstance(done.exception, SystemExit)
        assert f"hf download {EVAL} {AIME_PATH} --repo-type dataset --local-dir fetched" in done.output
        assert "--from fetched" in done.output and str(tmp_path / "raw" / AIME_PATH) in done.output
        assert reason in done.output


def test_files_from_a_folder_are_checked_too(tmp_path: Path) -> None:
    rows = {"aime2024": AIME_2024, "aime2025": AIME_2025, "gpqa": GPQA, "lcb": LCB}
    for name, row in rows.items():
        path = tmp_path / "copied" / FILES[PublishedSet(name)].path
        path.parent.mkdir(parents=True)
        write(path, [row])
    done = run(tmp_path, *rows, "--from", str(tmp_path / "copied"))
    assert done.exit_code == 0, done.output
    assert done.output.count(": 1 rows") == 4
    flat = write(tmp_path / "aime_2024_problems.parquet", [AIME_2024])
    again = run(tmp_path, "aime2024", "--from", str(tmp_path), "--force")
    assert again.exit_code == 0 and (tmp_path / "raw" / AIME_PATH).read_bytes() == flat.read_bytes()
    none = run(tmp_path, "open-agentrl-30k", "--from", str(tmp_path))
    assert none.exit_code == 2 and "There is neither" in none.output


def test_every_set_that_needs_prompts_names_a_command_that_fits(tmp_path: Path) -> None:
    rows = {"aime2024": AIME_2024, "aime2025": AIME_2025, "gpqa": GPQA, "lcb": LCB, "open-agentrl-30k": MATH}
    assert {name.value for name, file in FILES.items() if file.prepare} == set(rows)
    for name, row in rows.items():
        source = write(tmp_path / "in.parquet", [row])
        words = FILES[PublishedSet(name)].prepare.format(file=source).split()
        done = CliRunner().invoke(app, ["data", "prepare", *words[:-1], str(tmp_path / "out.parquet")])
        assert done.exit_code == 0, done.output
