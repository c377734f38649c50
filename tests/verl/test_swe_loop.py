"""Whole rollouts of `mini_swe_agent`: a scripted policy, real tokens, the real sandbox, real hidden tests."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import open_dict
from transformers import Qwen3Config, Qwen3ForCausalLM
from verl.experimental.agent_loop.agent_loop import AgentLoopOutput, DictConfigWrap

from cleartrace.rewards.score import Score
from cleartrace.tools.shell.local import LocalRuntime
from cleartrace.tools.shell.rows import WholeTask, row_of
from cleartrace.tools.shell.runtime import SandboxLost
from cleartrace.trajectory.record import TrajectoryRecord
from cleartrace_verl.rollout.replica import EmbeddedServer
from cleartrace_verl.swe_loop import MiniSweAgentLoop
from tests.tools.shell.cases import CONFIG, MUTANT_FILE, MUTANT_FIX, SECRET, SUBMIT, mutation_task
from tests.verl.rollouts import ScriptedServer, config_with, logprob, quickstart, tokenizer

SHELL = CONFIG.model_dump(mode="json", exclude_unset=True)


def turn(command: str, thought: str = "Next step.\n\n") -> str:
    return f"{thought}```bash\n{command}\n```"


LOOK = turn(f"grep -n 'code <= 128' {MUTANT_FILE}")
REPAIR = turn(f"{MUTANT_FIX} && git diff --stat")
HAND_IN = turn(SUBMIT)


def shell_config(turns: int = 10, response: int = 4000, **shell: Any) -> Any:
    config = config_with(multi_turn={"max_assistant_turns": turns}, prompt_length=4096, response_length=response)
    with open_dict(config.actor_rollout_ref.rollout.custom) as custom:
        custom.shell = {**SHELL, **shell}
    return config


def roll(server: Any, row: dict[str, Any], config: Any) -> AgentLoopOutput:
    async def go() -> AgentLoopOutput:
        loop = MiniSweAgentLoop(
            trainer_config=DictConfigWrap(config),
            server_manager=server,
            tokenizer=tokenizer(),
            processor=None,
            dataset_cls=None,
            data_config=DictConfigWrap(config.data),
            hf_model_type=quickstart().model_type,
        )
        fields = {**row, "raw_prompt": row["prompt"], "session_id": 1, "global_steps": 4}
        return await loop.run({"temperature": 1.0}, **fields)

    return asyncio.run(go())


def scripted(
    tmp_path: Path, *turns: str, config: Any = None, whole: WholeTask | None = None
) -> tuple[AgentLoopOutput, ScriptedServer]:
    """Every scripted turn must be asked for."""
    server = ScriptedServer(turns)
    row = row_of(whole or mutation_task(tmp_path / "repository"), 0, "train")
    output = roll(server, row, config or shell_config())
    assert len(server.prompts) == len(turns)
    return output, server


def record_of(output: AgentLoopOutput) -> TrajectoryRecord:
    return TrajectoryRecord.model_validate_json(output.extra_fields["trajectory"])


def graded(output: AgentLoopOutput) -> dict[str, Any]:
    return output.extra_fields["reward_extra_info"]


def test_a_policy_that_mends_the_mutation_is_rewarded_by_the_hidden_tests(tmp_path):
    output, server = scripted(tmp_path, LOOK, REPAIR, HAND_IN)
    assert output.reward_score == 1.0
    assert graded(output)["acc"] is True and graded(output)["tests"] == "passed passed"
    assert graded(output)["pred"].startswith("diff --git a/mdurl/_encode.py")
    text = tokenizer().decode(output.response_ids)
    assert "<returncode>0</returncode>" in text and "1 file changed" in text
    assert output.num_turns == 6  # prompt, three turns, two observations: nothing is shown after handing in


def test_tokens_are_the_engines_and_observations_are_not_trained(tmp_path):
    output, server = scripted(tmp_path, LOOK, REPAIR, HAND_IN)
    ids = output.prompt_ids + output.response_ids
    for prompt, sampled in zip(server.prompts, server.sampled, strict=True):
        assert ids[: len(prompt) + len(sampled)] == prompt + sampled
    trained = [t for t, m in zip(output.response_ids, output.response_mask, strict=True) if m]
    assert trained == [t for sampled in server.sampled for t in sampled]
    assert output.response_logprobs is not None
    start = len(output.prompt_ids)
    for i, (value, mask) in enumerate(zip(output.response_logprobs, output.response_mask, strict=True)):
        assert value == (pytest.approx(logprob(start, i)) if mask else 0.0)
    kinds = [segment.kind for segment in record_of(output).segments]
    turn_kinds = ["assistant_reasoning", "assistant_call", "boundary", "tool"]
    assert kinds == ["prompt", *turn_kinds, *turn_kinds, *turn_kinds[:2]]
    assert "".join(record_of(output).segments[4].pieces).startswith("<|im_start|>user\n<returncode>")


def test_a_lazy_policy_gets_nothing(tmp_path):
    output, _ = scripted(tmp_path, HAND_IN)
    assert output.reward_score == 0.0
    assert graded(output)["error"].startswith("no_patch")
    assert sum(output.response_mask) > 0  # the model's doing: it is learned from


def test_a_wrong_repair_gets_nothing(tmp_path):
    wrong = turn(f"sed -i 's/code <= 128/code < 999/' {MUTANT_FILE}")
    output, _ = scripted(tmp_path, wrong, HAND_IN)
    assert output.reward_score == 0.0
    assert "failed" in graded(output)["tests"] and graded(output)["error"].startswith("unresolved")


def test_a_bare_marker_hands_in_the_files_as_they_are(tmp_path):
    output, _ = scripted(tmp_path, REPAIR, turn("echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"))
    assert output.reward_score == 1.0


def test_the_step_limit_ends_a_rollout_that_hands_nothing_in(tmp_path):
    output, _ = scripted(tmp_path, LOOK, REPAIR, config=shell_config(turns=2))
    assert output.reward_score == 0.0 and graded(output)["error"] == "no_patch"


def test_the_last_allowed_turn_may_hand_in(tmp_path):
    output, _ = scripted(tmp_path, REPAIR, HAND_IN, config=shell_config(turns=2))
    assert output.reward_score == 1.0


def test_a_turn_without_a_block_is_told_so_and_failures_stay(tmp_path):
    output, _ = scripted(tmp_path, "I will look.", turn("cat nothing-here"), HAND_IN)
    text = tokenizer().decode(output.response_ids)
    assert "Your turn has no command block. Nothing was run." in text
    assert "<returncode>1</returncode>" in text and "No such file" in text
    calls = record_of(output).tool_calls
    assert [call.status for call in calls] == ["format_error", "program_error", "ok"]
    assert calls[1].code == "cat nothing-here" and all(call.kept for call in calls)


def test_a_turn_cut_at_its_length_is_closed_and_goes_on(tmp_path):
    """The observation must not stand inside the model's turn; the closing token is not trained."""
    whole = mutation_task(tmp_path / "repository")
    server = ScriptedServer([turn("ls", "word " * 150), HAND_IN])
    output = roll(server, row_of(whole, 0, "train"), shell_config(turn_tokens=200))
    assert len(server.sampled[0]) == 200 and server.budgets[0] == 200
    end = tokenizer().convert_tokens_to_ids("<|im_end|>")
    assert server.prompts[1][len(server.prompts[0]) + 200] == end
    assert output.response_mask[200] == 0
    assert "Nothing was run." in tokenizer().decode(server.prompts[1])


def test_an_observation_is_cut_to_its_limit(tmp_path):
    output, _ = scripted(tmp_path, turn("seq 1 100000"), HAND_IN, config=shell_config(observation_chars=300))
    text = tokenizer().decode(output.response_ids)
    assert "<output_head>\n1\n2\n" in text and "100000\n\n</output_tail>" in text
    assert "characters left out" in text


def test_nothing_hidden_is_in_the_prompt_or_the_record(tmp_path):
    output, server = scripted(tmp_path, turn("cat $(git ls-files) | head -c 600; env"), HAND_IN)
    assert SECRET not in tokenizer().decode(server.prompts[-1])
    assert SECRET not in output.extra_fields["trajectory"]
    assert SECRET in json.dumps(row_of(mutation_task(tmp_path / "again"), 0, "train")["reward_model"])


def test_a_sandbox_that_cannot_be_had_spoils_the_rollout_and_teaches_nothing(tmp_path):
    whole = mutation_task(tmp_path / "repository")
    gone = WholeTask(whole.task.model_copy(update={"repository": str(tmp_path / "none")}), whole.hidden, "mutation")
    output, _ = scripted(tmp_path, LOOK, whole=gone)
    assert output.reward_score == 0.0 and graded(output)["ungraded"] is True
    assert "no such folder" in graded(output)["error"]
    assert output.response_ids and sum(output.response_mask) == 0
    assert output.extra_fields["saar_masked"] is True and record_of(output).masked


@pytest.mark.parametrize("at", ["command", "evaluation"])
def test_a_sandbox_that_is_lost_spoils_the_rollout_and_teaches_nothing(tmp_path, monkeypatch, at):
    """(blame) The model did not do it, so its tokens are masked and the row is not graded."""
    made = 0
    opened = LocalRuntime.open

    async def open_and_lose(self: LocalRuntime, task: Any) -> Any:
        nonlocal made
        made += 1
        if at == "evaluation" and made == 2:
            raise SandboxLost("the machine is gone")
        sandbox = await opened(self, task)
        if at == "command":
            run = sandbox.run

            async def lost(command: str, timeout_s: float, stdin: bytes = b"") -> Any:
                if "grep" in command:
                    sandbox.slot.close()
                return await run(command, timeout_s, stdin)

            monkeypatch.setattr(sandbox, "run", lost)
        return sandbox

    monkeypatch.setattr(LocalRuntime, "open", open_and_lose)
    turns = [LOOK] if at == "command" else [REPAIR, HAND_IN]
    output, _ = scripted(tmp_path, *turns)
    assert output.reward_score == 0.0 and graded(output)["ungraded"] is True
    assert sum(output.response_mask) == 0 and output.extra_fields["saar_masked"] is True


def test_the_reward_has_the_keys_that_every_row_of_a_batch_has(tmp_path):
    output, _ = scripted(tmp_path, HAND_IN)
    assert set(graded(output)) == {*Score.__annotations__, "trajectory", "saar_masked"}


def test_saar_is_off_here_whatever_the_run_does_for_other_rows(tmp_path):
    output, _ = scripted(tmp_path, turn("false"), HAND_IN)
    assert output.extra_fields["saar"]["arm"] == "off" and output.extra_fields["saar"]["triggered"] == 0


def test_a_row_of_another_kind_says_how_rows_are_made(tmp_path):
    row = {"prompt": [{"role": "user", "content": "?"}], "data_source": "math", "reward_model": {"ground_truth": "3"}}
    with pytest.raises(ValueError, match="python -m cleartrace.tools.shell rows"):
        roll(ScriptedServer([]), row, shell_config())
    with pytest.raises(ValueError, match="turn_token"):
        roll(ScriptedServer([]), row, shell_config(turn_token=3))


def test_the_embedded_engine_drives_the_loop(tmp_path):
    """An untrained model has never seen a shell: it is told so each turn, and its tokens pass the audit."""
    config = Qwen3Config(
        vocab_size=len(tokenizer()), hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, max_position_embeddings=8192, eos_token_id=tokenizer().eos_token_id,
    )  # fmt: skip
    torch.manual_seed(0)
    Qwen3ForCausalLM(config).save_pretrained(tmp_path / "model")
    limits = {"prompt_length": 4096, "response_length": 2000, "ignore_eos": False}
    server = EmbeddedServer(str(tmp_path / "model"), {"max_slots": 2, "max_context": 8192}, limits)
    row = row_of(mutation_task(tmp_path / "repository"), 0, "train")
    output = roll(server, row, shell_config(turns=3, response=2000, turn_tokens=24))
    assert output.reward_score == 0.0 and graded(output)["error"] == "no_patch"
    calls = record_of(output).tool_calls
    assert len(calls) == 3 and {call.status for call in calls} == {"format_error"}
    assert sum(output.response_mask) == output.extra_fields["saar"]["generated_tokens"]
