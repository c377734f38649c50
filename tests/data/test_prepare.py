"""`cleartrace data prepare`: a profile per file or per row, never guessed; files whole or not at all (D48)."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from cleartrace.cli import app
from cleartrace.data.errors import DataError
from cleartrace.data.identity import sample_id_of_row
from cleartrace.data.names import Arms, Profile
from cleartrace.data.prepare import Plan, prepare
from cleartrace.data.prepared import schema
from cleartrace.data.wording import Wording, load_wording
from tests.data.sources import AIME_2024, AIME_2025, GPQA, LCB, MATH, SCIENCE, TACO, write

COLUMNS = ["data_source", "prompt", "ability", "reward_model", "extra_info", "agent_name"]


def rows_of(path: Path) -> list[dict]:
    return pq.read_table(path).to_pylist()


def test_the_command_writes_both_arms(tmp_path: Path) -> None:
    source = write(tmp_path / "raw.parquet", [AIME_2024, {**AIME_2024, "Problem": "What is 2 + 2?", "Answer": 4}])
    target = tmp_path / "new" / "aime24.parquet"
    words = ["data", "prepare", "--profile", "aime", "--arms", "both", str(source), str(target)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "4 rows for saar_eval_off, saar_eval_on" in done.output and "2  AIME2024" in done.output
    rows = rows_of(target)
    assert list(rows[0]) == COLUMNS
    assert [row["agent_name"] for row in rows] == ["saar_eval_off"] * 2 + ["saar_eval_on"] * 2
    assert [row["extra_info"]["index"] for row in rows] == [0, 1, 0, 1]
    assert rows[0]["extra_info"]["sample_id"] == rows[2]["extra_info"]["sample_id"]
    assert rows[1]["reward_model"] == {"style": "rule", "ground_truth": "4"}
    assert rows[1]["extra_info"]["question"] == "What is 2 + 2?" and rows[1]["ability"] == "math"


def test_every_profile_writes_one_schema(tmp_path: Path) -> None:
    cases = [(Profile.AIME, AIME_2025), (Profile.GPQA_NOTOOL, GPQA), (Profile.LCB, LCB), (Profile.PREWRAPPED, MATH)]
    for profile, raw in cases:
        source, target = write(tmp_path / "in.parquet", [raw]), tmp_path / f"{profile.value}.parquet"
        prepare(source, target, Plan(profile))
        assert pq.read_schema(target) == schema()
        assert rows_of(target)[0]["extra_info"]["profile"] == profile.value


def test_shuffled_rows_get_the_prompts_they_had(tmp_path: Path) -> None:
    # D48: the published mapping is that of row 0, so a file that begins with code loses the sentence about units.
    rows = [MATH, SCIENCE, TACO]
    rows = [{key: row[key] for key in ("data_source", "prompt", "reward_model")} for row in rows]
    prompts = []
    for order in (rows, rows[::-1]):
        source = write(tmp_path / "in.parquet", order)
        prepare(source, tmp_path / "out.parquet", Plan(Profile.PREWRAPPED))
        prompts.append({row["extra_info"]["sample_id"]: row["prompt"] for row in rows_of(tmp_path / "out.parquet")})
    assert prompts[0] == prompts[1]
    texts = {row["data_source"]: row["prompt"][-1]["content"] for row in rows_of(tmp_path / "out.parquet")}
    assert "units" in texts["math_dapo"] and "units" in texts["mega-science"]
    assert "units" not in texts["train-code-taco-easy"]


def test_a_profile_per_row(tmp_path: Path) -> None:
    rows = [
        {**AIME_2025, "domain": None, "solution": None, "extra_info": json.dumps({"profile": "aime_notool"})},
        {**GPQA, "answer": None, "extra_info": json.dumps({"profile": "gpqa"})},
    ]
    source = write(tmp_path / "in.parquet", rows)
    prepare(source, tmp_path / "out.parquet", Plan(profile_column="extra_info.profile"))
    first, second = rows_of(tmp_path / "out.parquet")
    assert (first["extra_info"]["profile"], second["extra_info"]["profile"]) == ("aime_notool", "gpqa")
    assert "tool" not in first["prompt"][0]["content"] and "tool" in second["prompt"][0]["content"]

    named = write(tmp_path / "named.parquet", [{**AIME_2025, "kind": "aime"}, {**AIME_2025, "kind": "nothing"}])
    with pytest.raises(DataError, match="row 1, column kind: 'nothing' is not a profile; there are prewrapped, aime"):
        prepare(named, tmp_path / "out2.parquet", Plan(profile_column="kind"))
    assert not (tmp_path / "out2.parquet").exists()


def test_nothing_is_guessed(tmp_path: Path) -> None:
    source = write(tmp_path / "in.parquet", [{"problem": "1 + 1?", "answer": "2"}])
    target = tmp_path / "out.parquet"
    with pytest.raises(DataError, match="name either the profile of the file or the column"):
        prepare(source, target, Plan(data_source="mine"))
    with pytest.raises(DataError, match="name either"):
        prepare(source, target, Plan(Profile.AIME, profile_column="kind", data_source="mine"))
    # D48: a file without a source took that of the file before it.
    with pytest.raises(DataError, match="no column data_source; give the name"):
        prepare(source, target, Plan(Profile.AIME))
    with pytest.raises(DataError, match="no column kind"):
        prepare(source, target, Plan(profile_column="kind", data_source="mine"))
    assert prepare(source, target, Plan(Profile.AIME, data_source="mine")).sources == {"mine": 1}
    with pytest.raises(DataError, match="there is a column data_source already"):
        prepare(target, tmp_path / "again.parquet", Plan(Profile.AIME, data_source="mine"))


def test_a_bad_row_is_named_and_the_old_file_stays(tmp_path: Path) -> None:
    source = write(tmp_path / "in.parquet", [GPQA, {**GPQA, "solution": "H2"}])
    target = tmp_path / "out.parquet"
    target.write_bytes(b"old")
    done = CliRunner().invoke(app, ["data", "prepare", "--profile", "gpqa", str(source), str(target)])
    assert done.exit_code == 2
    assert f"error: {source}, row 1, column solution:" in done.output
    assert target.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.parquet", "out.parquet"]
    with pytest.raises(DataError, match="no such file"):
        prepare(tmp_path / "none.parquet", target, Plan(Profile.GPQA))


def test_words_of_ones_own(tmp_path: Path) -> None:
    words = tmp_path / "words.yaml"
    words.write_text('reason: "Please solve:"\nplan: ""\n')
    assert load_wording(words) == Wording(reason="Please solve:", plan="")
    source = write(tmp_path / "in.parquet", [AIME_2025])
    prepare(source, tmp_path / "out.parquet", Plan(Profile.AIME, wording=load_wording(words)))
    prompt = rows_of(tmp_path / "out.parquet")[0]["prompt"][0]["content"]
    assert prompt.startswith("Please solve:\n\n") and "plan" not in prompt
    words.write_text("reasn: x\n")
    with pytest.raises(DataError, match="column reasn: .*the known names are reason, reason_in_domain"):
        load_wording(words)
    words.write_text("[")
    with pytest.raises(DataError, match="cannot be read as YAML"):
        load_wording(words)


def test_prepared_ids_are_those_of_the_raw_file(tmp_path: Path) -> None:
    rows = [{key: row[key] for key in ("data_source", "prompt", "reward_model")} for row in (MATH, TACO)]
    source = write(tmp_path / "in.parquet", rows)
    prepare(source, tmp_path / "out.parquet", Plan(Profile.PREWRAPPED_NOTOOL, agents=("another",)))
    prepared = rows_of(tmp_path / "out.parquet")
    assert [sample_id_of_row(row) for row in rows] == [sample_id_of_row(row) for row in prepared]
    assert {row["agent_name"] for row in prepared} == {"another"}


def test_a_reference_solution_is_kept_for_the_validator(tmp_path: Path) -> None:
    rows = [{**LCB, "extra_info": json.dumps({"reference_solution": "print(3)"})}, LCB]
    prepare(write(tmp_path / "in.parquet", rows), tmp_path / "out.parquet", Plan(Profile.LCB))
    found = rows_of(tmp_path / "out.parquet")
    assert [row["extra_info"]["reference_solution"] for row in found] == ["print(3)", None]
    assert "print(3)" not in found[0]["prompt"][0]["content"]


def test_arms() -> None:
    assert Arms.TRAIN.agents == ("saar_agent",)
    assert Arms.BOTH.agents == Arms.OFF.agents + Arms.ON.agents
