"""What a user can get wrong is said in one line, with exit status 2, before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from cleartrace_verl.main import EXIT_CONFIG, main

ROOT = Path(__file__).resolve().parents[2]
SMOKE = ["--recipe", "recipe/cleaner", "experiment=smoke"]


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("actor_rollout_ref.rollout.multi_turn.max_tool_retrys=2", "max_tool_retries"),
        ("+trainer.typo=1", "trainer.typo"),
        ("actor_rollout_ref.rollout.custom.saar.polici=similarity", "'policy'"),
        ("actor_rollout_ref.model.path=/no/such/model", "/no/such/model"),
        ("cleartrace.judge.url=http://127.0.0.1:9", "code-judge serve"),
        ("ray_kwargs.ray_init.num_cpus=2", "logical CPUs"),
    ],
)
def test_bad_input_is_named_and_starts_nothing(override, says, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(ROOT)
    run_dir = tmp_path / "run"
    assert main([*SMOKE, f"cleartrace.run_dir={run_dir}", override]) == EXIT_CONFIG
    out = capfd.readouterr().out
    assert says in out
    assert "Traceback" not in out
    assert not run_dir.exists()


def test_a_dry_run_checks_everything_and_starts_nothing(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(ROOT)
    assert main([*SMOKE, "--dry-run", f"cleartrace.run_dir={tmp_path / 'run'}"]) == 0
    assert "configuration resolves" in capfd.readouterr().out
    assert not (tmp_path / "run").exists()
