"""`cleartrace data fetch` against a loopback stand-in of the hub, a folder, and no network at all."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cleartrace.data.hub import FILES
from cleartrace.data.names import PublishedSet
from tests.data.hub_server import COMMIT, hub_server
from tests.data.sources import AIME_2024, AIME_2025, GPQA, LCB, write

ROOT = Path(__file__).resolve().parents[2]
EVAL = "Gen-Verse/Open-AgentRL-Eval"
AIME_PATH = "aime2024/aime_2024_problems.parquet"


def parquet(row: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([row]), buffer)
    return buffer.getvalue()


def run(folder: Path, *words: str, endpoint: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own: huggingface_hub reads its environment when it is imported."""
    names = ("HF_HUB_OFFLINE", "HF_ENDPOINT", "HF_TOKEN")
    env = {name: value for name, value in os.environ.items() if name not in names}
    env |= {"HF_HOME": str(folder / "home"), "HF_HUB_DISABLE_PROGRESS_BARS": "1", **environment}
    env |= {"HF_ENDPOINT": endpoint} if endpoint else {}
    command = [sys.executable, "-m", "cleartrace.cli", "data", "fetch", *words, "--output-dir", str(folder / "raw")]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)


def test_a_set_comes_with_a_note_of_where_it_is_from(tmp_path: Path) -> None:
    body = parquet(AIME_2024)
    with hub_server({EVAL: {AIME_PATH: body}}, token="secret") as (endpoint, requests):
        refused = run(tmp_path, "aime2024", endpoint=endpoint)
        assert refused.returncode == 2
        assert "does not show Gen-Verse/Open-AgentRL-Eval" in refused.stderr and "HF_TOKEN" in refused.stderr
        done = run(tmp_path, "aime2024", endpoint=endpoint, HF_TOKEN="secret")
        assert done.returncode == 0, done.stderr
        before = len(requests)
        again = run(tmp_path, "aime2024", endpoint=endpoint)
        assert "was there already" in again.stdout and len(requests) == before
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
    assert sorted(p.name for p in (tmp_path / "raw").rglob("*") if p.is_file()) == [
        target.name,
        target.name + ".source.json",
    ]


def test_a_file_with_other_columns_does_not_arrive(tmp_path: Path) -> None:
    with hub_server({EVAL: {AIME_PATH: parquet(GPQA), "gpqa.parquet": b""}}) as (endpoint, _):
        done = run(tmp_path, "aime2024", endpoint=endpoint)
        assert done.returncode == 2
        assert "there is no column Problem, Answer; it has data_source, problem, solution, domain" in done.stderr
        assert not (tmp_path / "raw" / AIME_PATH).exists()
        moved = run(tmp_path, "lcb", endpoint=endpoint)
        assert f"its parquet files: {AIME_PATH}, gpqa.parquet" in moved.stderr
        wrong = run(tmp_path, "aime2024", "--revision", "v9", endpoint=endpoint)
        assert f"{EVAL} has no revision 'v9'" in wrong.stderr


def test_without_a_network_the_message_says_what_to_copy_where(tmp_path: Path) -> None:
    # Port 9 of loopback refuses the connection at once.
    gone = run(tmp_path, "aime2024", endpoint="http://127.0.0.1:9")
    offline = run(tmp_path, "aime2024", HF_HUB_OFFLINE="1")
    for done in (gone, offline):
        assert done.returncode == 2 and "Traceback" not in done.stderr
        assert f"hf download {EVAL} {AIME_PATH} --repo-type dataset --local-dir fetched" in done.stderr
        assert "--from fetched" in done.stderr and str(tmp_path / "raw" / AIME_PATH) in done.stderr
    assert "http://127.0.0.1:9: " in gone.stderr and "HF_HUB_OFFLINE is set" in offline.stderr


def test_files_from_a_folder_are_checked_too(tmp_path: Path) -> None:
    rows = {"aime2024": AIME_2024, "aime2025": AIME_2025, "gpqa": GPQA, "lcb": LCB}
    for name, row in rows.items():
        path = tmp_path / "copied" / FILES[PublishedSet(name)].path
        path.parent.mkdir(parents=True)
        write(path, [row])
    done = run(tmp_path, *rows, "--from", str(tmp_path / "copied"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(": 1 rows") == 4
    flat = write(tmp_path / "aime_2024_problems.parquet", [AIME_2024])
    again = run(tmp_path, "aime2024", "--from", str(tmp_path), "--force")
    assert again.returncode == 0 and (tmp_path / "raw" / AIME_PATH).read_bytes() == flat.read_bytes()
    none = run(tmp_path, "open-agentrl-30k", "--from", str(tmp_path))
    assert none.returncode == 2 and "There is neither" in none.stderr


def test_every_set_that_needs_prompts_names_a_command_that_fits(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from cleartrace.cli import app
    from tests.data.sources import MATH

    rows = {"aime2024": AIME_2024, "aime2025": AIME_2025, "gpqa": GPQA, "lcb": LCB, "open-agentrl-30k": MATH}
    assert {name.value for name, file in FILES.items() if file.prepare} == set(rows)
    for name, row in rows.items():
        source = write(tmp_path / "in.parquet", [row])
        words = FILES[PublishedSet(name)].prepare.format(file=source).split()
        done = CliRunner().invoke(app, ["data", "prepare", *words[:-1], str(tmp_path / "out.parquet")])
        assert done.exit_code == 0, done.output
