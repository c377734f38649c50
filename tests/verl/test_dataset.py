"""veRL's own data set does all that prepared files need, so there is no class of ours: length filter with the tool's
schema counted, sample limits, mixed files (D49)."""

from __future__ import annotations

import shutil
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from omegaconf import OmegaConf
from transformers import AutoTokenizer
from typer.testing import CliRunner
from verl.trainer.ppo.utils import create_rl_dataset
from verl.utils.dataset.rl_dataset import RLHFDataset

from cleartrace.cli import app
from cleartrace.data.findings import Kind
from cleartrace.data.grade_checks import reward_grader
from cleartrace.data.lengths import load_limit
from cleartrace.data.names import Arms, Profile
from cleartrace.data.prepare import Plan, prepare
from cleartrace.data.validate import Checks, validate
from cleartrace_verl import task_files
from cleartrace_verl.compose import compose
from tests.data.sources import AIME_2025, GPQA, LCB, chat, write

ROOT = Path(__file__).resolve().parents[2]
POLICY = ROOT / "dataset/quickstart/policy"
LIMIT = 700


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped tokenizer with a template that shows the tools, as Qwen's does; its own leaves them out."""
    folder = tmp_path_factory.mktemp("policy") / "tokenizer"
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(POLICY / name, folder)
    template = folder / "chat_template.jinja"
    template.write_text(
        "{% if tools %}<|im_start|>system\n{{ tools | tojson }}<|im_end|>\n{% endif %}" + template.read_text()
    )
    return folder


@lru_cache(maxsize=1)
def _composed() -> Any:
    words = ["data.filter_overlong_prompts=true", f"data.max_prompt_length={LIMIT}"]
    config = compose(
        ["experiment=qwen3_4b", *words, "data.filter_overlong_prompts_workers=1"], [ROOT / "recipe/cleaner"]
    )
    OmegaConf.resolve(config.data)
    return config.data


def data_config(**changes: Any) -> Any:
    """The data block of a run with the tool."""
    return OmegaConf.merge(_composed(), changes)


def load(files: list[Path], policy: Path, config: Any, max_samples: int = -1) -> RLHFDataset:
    tokenizer = AutoTokenizer.from_pretrained(policy)
    found = create_rl_dataset([str(path) for path in files], config, tokenizer, None, max_samples=max_samples)
    assert type(found) is RLHFDataset
    return found


def sized(tmp_path: Path, words: list[int]) -> Path:
    rows = [chat("math_dapo", "word " * n + f"number {i}", str(i)) for i, n in enumerate(words)]
    target = tmp_path / "sized.parquet"
    prepare(write(tmp_path / "raw.parquet", rows), target, Plan(Profile.PREWRAPPED))
    return target


def answers(data: RLHFDataset) -> list[str]:
    return [data[i]["reward_model"]["ground_truth"] for i in range(len(data))]


def test_the_length_filter_counts_the_tool(tmp_path: Path, policy: Path) -> None:
    file, config = sized(tmp_path, [1, 100, 300]), data_config()
    assert config.function_tool_path.endswith("code_interpreter_tool.py")
    rows = pq.read_table(file).to_pylist()
    with_tool = [load_limit(policy, LIMIT).tokens(row) for row in rows]
    without = [load_limit(policy, LIMIT, tools=False).tokens(row) for row in rows]
    # The second row is the one that decides: it is too long with the tool's schema only.
    assert with_tool[0] <= LIMIT and without[1] <= LIMIT < with_tool[1] and without[2] > LIMIT
    assert answers(load([file], policy, config)) == ["0"]
    no_tool = data_config(function_tool_path=None)
    assert answers(load([file], policy, no_tool)) == ["0", "1"]
    # The validator names the rows that veRL drops without a word.
    (report,) = validate([file], Checks(reward_grader(None), load_limit(policy, LIMIT)))
    assert [(finding.kind, finding.row) for finding in report.findings] == [(Kind.OVERLONG, 1), (Kind.OVERLONG, 2)]
    assert report.findings[0].message == f"{with_tool[1]} tokens, of {LIMIT}"
    command = ["data", "validate", str(file), "--tokenizer", str(policy), "--max-prompt-tokens", str(LIMIT)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0 and "prompt too long" in done.output and "not checked" not in done.output


def test_sample_limits_hold(tmp_path: Path, policy: Path) -> None:
    file = sized(tmp_path, [1, 2, 3, 4, 5])
    assert answers(load([file], policy, data_config(shuffle=False), max_samples=2)) == ["0", "1"]
    drawn = [load([file], policy, data_config(shuffle=True), max_samples=3) for _ in range(2)]
    assert answers(drawn[0]) == answers(drawn[1]) and len(drawn[0]) == 3


def test_prepared_files_of_all_profiles_are_one_data_set(tmp_path: Path, policy: Path) -> None:
    files = []
    for profile, raw in ((Profile.AIME, AIME_2025), (Profile.GPQA, GPQA), (Profile.LCB, LCB)):
        files.append(tmp_path / f"{profile.value}.parquet")
        prepare(write(tmp_path / "raw.parquet", [raw]), files[-1], Plan(profile, agents=Arms.BOTH.agents))
    data = load(files, policy, data_config(max_prompt_length=4000))
    assert len(data) == 6
    row = data[4]
    assert row["agent_name"] == "saar_eval_off" and row["data_source"] == "LiveCodeBench_v6"
    assert row["raw_prompt"][0]["content"].startswith("Write a Python program")
    assert row["extra_info"]["question_id"] == "abc301_a" and row["index"] == 0 and row["tools_kwargs"] == {}
    assert data[1]["extra_info"]["sample_id"] == data[0]["extra_info"]["sample_id"] != row["extra_info"]["sample_id"]


def test_the_agents_are_the_registered_ones() -> None:
    registered = yaml.safe_load((ROOT / "verl/cleartrace_verl/config/agent_loops/saar.yaml").read_text())
    agents = {agent for arms in Arms for agent in arms.agents}
    # Beside the loop that rolls back: rows with images, and shell agents.
    assert agents | {"image_agent", "mini_swe_agent"} == {loop["name"] for loop in registered}
    assert Arms.BOTH.agents == (task_files.EVAL_OFF_AGENT, task_files.EVAL_ON_AGENT)
    assert Arms.TRAIN.agents == (task_files.TRAIN_AGENT,)
