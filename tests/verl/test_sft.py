"""Cold-start SFT: what is trained, what a run needs, and one real training on a CPU that resumes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from transformers import AutoTokenizer
from verl.utils.dataset.multiturn_sft_dataset import MultiTurnSFTDataset

from cleartrace.data.growing import StoreError, lock_folder
from cleartrace.data.tasks import Split
from cleartrace.tools.code_interpreter import TOOL_SCHEMA
from cleartrace_verl.compose import ConfigError
from cleartrace_verl.known_keys import UnknownKey
from cleartrace_verl.main import EXIT_CONFIG
from cleartrace_verl.main import main as main_of_grpo
from cleartrace_verl.policy_folder import make_portable
from cleartrace_verl.run_files import held
from cleartrace_verl.sft import compose_sft, main, run
from cleartrace_verl.sft_dataset import AssistantTurnsDataset
from cleartrace_verl.sft_files import merge_metrics, problems, read_rows, total_steps
from recipe.cleaner.coldstart.demonstrations import ErrorRates
from recipe.cleaner.coldstart.execute import run_trusted
from recipe.cleaner.sft.write_demonstrations import rows, write
from tests.end_to_end.run_process import MARK, left, wait_until
from tests.verl.rollouts import END, POLICY, config_with, roll_out

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "recipe/cleaner/sft"
# ChatML with the tools in the system turn and a default system text, in the way of Qwen2.5; parts of it differ by the
# place of a message, which is what rendering turn by turn can get wrong.
WITH_TOOLS = (
    "{%- if messages[0].role == 'system' -%}{%- set intro = messages[0].content -%}{%- else -%}"
    "{%- set intro = 'You are helpful.' -%}{%- endif -%}"
    "{{- '<|im_start|>system\n' + intro -}}"
    "{%- if tools -%}{%- for tool in tools -%}{{- '\n' + (tool | tojson) -}}{%- endfor -%}{%- endif -%}"
    "{{- '<|im_end|>\n' -}}"
    "{%- for message in messages -%}{%- if message.role == 'tool' -%}"
    "{{- '<|im_start|>user\n<tool_response>\n' + message.content + '\n</tool_response><|im_end|>\n' -}}"
    "{%- elif message.role != 'system' -%}"
    "{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' -}}"
    "{%- endif -%}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"
)


@pytest.fixture(scope="module")
def demonstrations() -> list[dict[str, Any]]:
    return list(rows(12, seed=0, split=Split.TRAIN, rates=ErrorRates(0.7, 0.5)))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demonstrations")
    for name, n, split in (("train", 24, Split.TRAIN), ("val", 8, Split.HELD_OUT)):
        write(folder / f"{name}.parquet", pa.Table.from_pylist(list(rows(n, 0, split, ErrorRates()))))
    return folder


def tiny(*overrides: str) -> DictConfig:
    return compose_sft(["experiment=sft_tiny", *overrides], [RECIPE])


def dataset(rows: list[dict[str, Any]], folder: Path, cls: type = AssistantTurnsDataset, **data: Any) -> Any:
    """The data set over `rows`, by way of a parquet file, with the tokenizer and template of the shipped policy."""
    path = folder / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    config = tiny().data.copy()
    OmegaConf.update(config, "custom_cls", None)
    template = data.pop("chat_template", None)
    tokenizer = AutoTokenizer.from_pretrained(POLICY)
    if template:
        tokenizer.chat_template = template
    return cls(parquet_files=[str(path)], tokenizer=tokenizer, config=OmegaConf.merge(config, data))


def trained_spans(row: dict[str, Any], tokenizer: Any) -> list[str]:
    """Text of each run of tokens with mask 1."""
    spans: list[list[int]] = []
    before = 0
    for token, mask in zip(row["input_ids"].tolist(), row["loss_mask"].tolist(), strict=True):
        if mask:
            spans = [*spans[:-1], [*spans[-1], token]] if before else [*spans, [token]]
        before = mask
    return [tokenizer.decode(span) for span in spans]


@pytest.mark.parametrize("template", [None, WITH_TOOLS], ids=["shipped", "tools in the system turn"])
def test_exactly_the_assistant_turns_are_trained_up_to_their_end(template, demonstrations, tmp_path):
    data = dataset(demonstrations, tmp_path, chat_template=template)
    for i, row in enumerate(demonstrations):
        said = [m["content"] + END for m in row["messages"] if m["role"] == "assistant"]
        assert trained_spans(data[i], data.tokenizer) == said
        whole = data.tokenizer.apply_chat_template(row["messages"], tools=[TOOL_SCHEMA], tokenize=False)
        assert data[i]["input_ids"].tolist() == data.tokenizer(whole, add_special_tokens=False).input_ids


def test_sft_sees_the_tokens_and_the_mask_that_rl_sees(demonstrations, tmp_path):
    """Token truth: a rollout that says the same has the same ids, and trains the same of them."""
    data = dataset(demonstrations, tmp_path)
    for i, row in enumerate(demonstrations):
        messages = row["messages"]
        rolled = roll_out(
            [m["content"] for m in messages if m["role"] == "assistant"],
            config=config_with(saar={"enable": False}, multi_turn={"max_assistant_turns": 9, "max_user_turns": 9}),
            run=run_trusted,
            raw_prompt=messages[:2],
        )
        ids = [*rolled.output.prompt_ids, *rolled.output.response_ids]
        mask = [0] * len(rolled.output.prompt_ids) + list(rolled.output.response_mask)
        # Behind the last end token RL has nothing, the template a separator.
        assert data[i]["input_ids"].tolist()[: len(ids)] == ids
        assert data[i]["loss_mask"].tolist() == mask + [0] * (len(data[i]["input_ids"]) - len(ids))


def test_verls_own_data_set_trains_the_separators_too(demonstrations, tmp_path):
    """Why there is a class of ours; when this fails, it can go."""
    ours, stock = (dataset(demonstrations, tmp_path, cls)[0] for cls in (AssistantTurnsDataset, MultiTurnSFTDataset))
    turns = sum(m["role"] == "assistant" for m in demonstrations[0]["messages"])
    assert int(stock["loss_mask"].sum() - ours["loss_mask"].sum()) == turns


def test_a_long_row_is_cut_on_the_right(demonstrations, tmp_path):
    whole = dataset(demonstrations, tmp_path)[0]
    cut = dataset(demonstrations, tmp_path, max_length=40, truncation="right")[0]
    assert cut["input_ids"].tolist() == whole["input_ids"].tolist()[:40]
    assert cut["loss_mask"].tolist() == whole["loss_mask"].tolist()[:40]


def test_demonstrations_are_the_same_for_the_same_seed_and_never_meet():
    first, again = (list(rows(5, 3, Split.TRAIN, ErrorRates())) for _ in range(2))
    held_out = list(rows(5, 3, Split.HELD_OUT, ErrorRates()))
    assert first == again
    assert not {r["messages"][1]["content"] for r in first} & {r["messages"][1]["content"] for r in held_out}


RA_SFT = {
    "trainer.total_epochs": 5,
    "trainer.save_freq": 62,
    "trainer.n_gpus_per_node": 8,
    "data.train_batch_size": 32,
    "data.micro_batch_size_per_gpu": 4,
    "data.max_length": 32768,
    "data.truncation": "right",
    "data.messages_key": "messages",
    "data.tools_key": "tools",
    "engine.ulysses_sequence_parallel_size": 4,
}


@pytest.mark.parametrize(
    ("name", "model"),
    [("sft_qwen3_4b", "Qwen/Qwen3-4B-Instruct-2507"), ("sft_qwen2_7b", "Qwen/Qwen2.5-7B-Instruct")],
)
def test_the_recipes_have_the_published_values(name, model):
    """Table 8.3."""
    config = compose_sft([f"experiment={name}"], [RECIPE])
    assert {key: OmegaConf.select(config, key) for key in RA_SFT} == RA_SFT
    assert config.model.path == model
    assert [p for p in problems(config) if "there is no file" not in p] == []


@pytest.mark.parametrize("scale", ["cpu", "gpu1", "node4", "node8", "cluster"])
def test_every_scale_takes_a_recipe(scale):
    config = compose_sft(["experiment=sft_qwen3_4b", f"scale={scale}"], [RECIPE])
    assert config.engine.ulysses_sequence_parallel_size == (1 if scale in ("cpu", "gpu1") else 4)
    assert [p for p in problems(config) if "there is no file" not in p] == []
    OmegaConf.to_container(config.engine, resolve=True)


@pytest.mark.parametrize(
    ("override", "error", "says"),
    [
        ("data.max_lenght=3", UnknownKey, "data.max_length"),
        ("+engine.param_ofload=true", UnknownKey, "engine.param_offload"),
        ("experiment=sft_qwen4", ConfigError, "sft_qwen4"),
    ],
)
def test_d24_what_nothing_reads_is_refused(override, error, says):
    with pytest.raises(error, match=says):
        tiny(override)


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["data.train_files=none.parquet"], "there is no file none.parquet"),
        (["data.messages_key=turns"], "lacks the column turns"),
        (["model.path=runs/no-such-model"], "No model at runs/no-such-model"),
        (["data.train_batch_size=32"], "more than the 24 rows of data.train_files"),
        (["data.train_batch_size=12"], "more than the 8 rows of data.val_files"),
        (["trainer.n_gpus_per_node=3"], "cannot be shared by 3 data-parallel ranks"),
        (["data.use_dynamic_bsz=false", "data.micro_batch_size_per_gpu=3"], "does not divide the 8 rows"),
        (["data.max_token_len_per_gpu=512"], "no room for a row of data.max_length=1024"),
        (["data.val_files=null"], "needs data.val_files"),
    ],
)
def test_what_would_stop_a_run_is_found_before(overrides, says, files, monkeypatch):
    monkeypatch.chdir(ROOT)
    base = [f"data.train_files={files}/train.parquet", f"data.val_files={files}/val.parquet", "data.train_batch_size=8"]
    assert problems(tiny(*base)) == []
    assert says in " ".join(problems(tiny(*base, *overrides)))


def test_bad_input_starts_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    run_dir = tmp_path / "run"
    words = ["--recipe", str(RECIPE), "experiment=sft_tiny", f"cleartrace.run_dir={run_dir}"]
    assert main([*words, "data.train_files=none.parquet"]) == EXIT_CONFIG
    assert "none.parquet" in capsys.readouterr().out
    assert not run_dir.exists()


def test_several_nodes_want_to_know_each_other(files, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("NODE_RANK", raising=False)
    words = [
        "--recipe",
        str(RECIPE),
        "experiment=sft_tiny",
        "trainer.nnodes=2",
        f"cleartrace.run_dir={tmp_path / 'run'}",
    ]
    data = [f"data.train_files={files}/train.parquet", f"data.val_files={files}/val.parquet", "data.train_batch_size=8"]
    assert main([*words, *data]) == EXIT_CONFIG
    assert "NODE_RANK" in capsys.readouterr().out


def test_steps_leave_out_the_rows_of_an_incomplete_batch(files):
    config = tiny(f"data.train_files={files}/train.parquet", "data.train_batch_size=10", "trainer.total_epochs=3")
    assert total_steps(config) == 6
    config.trainer.total_training_steps = 4
    assert total_steps(config) == 4
    config.data.train_max_samples = 10
    assert total_steps(config) == 3


def line(step: int, **data: float) -> str:
    return json.dumps({"step": step, "data": data}) + "\n"


def test_metrics_survive_a_kill_and_a_resume(tmp_path):
    whole, part = tmp_path / "metrics.jsonl", tmp_path / "metrics.part.jsonl"
    whole.write_text(line(1, loss=9) + line(2, loss=8))
    part.write_text(line(3, loss=7) + line(3, **{"val/loss": 6}) + line(4, loss=5)[:10])
    merge_metrics(tmp_path)
    assert [(row["step"], *row["data"].values()) for row in read_rows(whole)] == [(1, 9), (2, 8), (3, 7), (3, 6)]
    assert not part.exists()
    # Killed between the two writes: the same rows again change nothing.
    part.write_text(line(3, loss=7))
    merge_metrics(tmp_path)
    assert len(read_rows(whole)) == 4
    # Resumed from step 2: what comes after it is done again.
    merge_metrics(tmp_path, kept_until=2)
    assert [row["step"] for row in read_rows(whole)] == [1, 2]


def sft_command(files: Path, run_dir: Path, *overrides: str) -> list[str]:
    command = [sys.executable, "-m", "cleartrace_verl.sft", "--recipe", str(RECIPE), "experiment=sft_tiny"]
    data = [f"data.train_files={files}/train.parquet", f"data.val_files={files}/val.parquet"]
    return [*command, *data, "data.train_batch_size=8", f"cleartrace.run_dir={run_dir}", *overrides]


def is_free(run_dir: Path) -> bool:
    try:
        os.close(lock_folder(run_dir))
    except StoreError:
        return False
    return True


def test_a_killed_run_takes_its_training_with_it_and_no_second_one_trains_beside_it(files, tmp_path):
    run_dir, mark = tmp_path / "run", uuid4().hex

    process = subprocess.Popen(
        sft_command(files, run_dir, "trainer.total_epochs=1000"),
        cwd=ROOT,
        env={**os.environ, MARK: mark, "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        log = run_dir / "train.log"
        assert wait_until(lambda: log.exists() and len(left(mark)) >= 3, 60), left(mark)
        assert not is_free(run_dir)
        process.kill()
        process.wait()
        assert wait_until(lambda: not left(mark)), f"processes left: {left(mark)}"
        assert wait_until(lambda: is_free(run_dir))
    finally:
        process.kill()
        process.wait()
        for pid, _ in left(mark):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (main, ["--recipe", str(RECIPE), "experiment=sft_tiny"]),
        (main_of_grpo, ["--recipe", str(ROOT / "recipe/cleaner"), "experiment=smoke"]),
    ],
    ids=["SFT", "GRPO"],
)
def test_a_folder_in_which_a_run_is_at_work_is_refused(program, words, files, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    data = [f"data.train_files={files}/train.parquet", f"data.val_files={files}/val.parquet", "data.train_batch_size=8"]
    with held(tmp_path / "run"):
        assert (
            program([*words, f"cleartrace.run_dir={tmp_path / 'run'}", *(data if program is main else [])])
            == EXIT_CONFIG
        )
    assert "another process is writing" in capfd.readouterr().out
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]


def test_a_run_that_was_killed_after_its_last_checkpoint_finishes_its_files(files, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    policy = tmp_path / "checkpoints/global_step_2/huggingface"
    policy.mkdir(parents=True)
    (policy / "config.json").write_text('{"attn_implementation": "packed_sdpa"}')
    (tmp_path / "checkpoints/latest_checkpointed_iteration.txt").write_text("2")
    (tmp_path / "metrics.part.jsonl").write_text(line(1, loss=9) + line(2, loss=8))
    data = [f"data.train_files={files}/train.parquet", f"data.val_files={files}/val.parquet", "data.train_batch_size=8"]
    config = tiny(*data, f"cleartrace.run_dir={tmp_path}", "trainer.total_training_steps=2")
    assert run(config, Console(quiet=True)) == 0
    assert json.loads((policy / "config.json").read_text()) == {}
    assert [row["step"] for row in read_rows(tmp_path / "metrics.jsonl")] == [1, 2]
    assert not (tmp_path / "metrics.part.jsonl").exists()


def test_a_run_trains_on_a_cpu_and_the_same_command_resumes_it(files, tmp_path):
    run_dir = tmp_path / "run"

    def train(steps: int) -> str:
        more = ["trainer.test_freq=1", "optim.lr=1e-3", f"trainer.total_training_steps={steps}"]
        done = subprocess.run(
            sft_command(files, run_dir, *more),
            cwd=ROOT,
            capture_output=True,
            text=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
        )
        log = run_dir / "train.log"
        assert done.returncode == 0, done.stdout + done.stderr + (log.read_text()[-3000:] if log.exists() else "")
        return done.stdout

    assert "step 1/1  loss" in train(1)
    shown = train(2)
    assert "step 2/2  held-out loss" in shown and "step 1/2" not in shown
    found = read_rows(run_dir / "metrics.jsonl")
    assert [(row["step"], "val/loss" in row["data"]) for row in found] == [(1, False), (1, True), (2, False), (2, True)]
    policy = run_dir / "checkpoints/global_step_2/huggingface"
    assert str(policy) in shown
    assert _weights_differ(policy, POLICY), "nothing was learned"


def test_a_policy_folder_loses_the_attention_of_this_machine_alone(tmp_path):
    path = tmp_path / "config.json"
    assert not make_portable(tmp_path)
    path.write_text('{"attn_implementation": "sdpa", "n": 1}')
    assert not make_portable(tmp_path)
    path.write_text('{"attn_implementation": "packed_sdpa", "n": 1}')
    assert make_portable(tmp_path)
    assert json.loads(path.read_text()) == {"n": 1}


def _weights_differ(one: Path, other: Path) -> bool:
    from transformers import AutoModelForCausalLM

    left, right = (AutoModelForCausalLM.from_pretrained(folder).state_dict() for folder in (one, other))
    assert left.keys() == right.keys()
    assert all(value.isfinite().all() for value in left.values())
    return any(not value.equal(right[name]) for name, value in left.items())
