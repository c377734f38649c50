"""Data-parallel ranks share a batch of pairs, and the gradient is that of one rank with all of it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from tests.verl.context.support import ROOT, config_for

SCRIPT = Path(__file__).with_name("rank.py")


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


def run_ranks(folder: Path, ranks: int) -> list[dict]:
    config, port = folder / "config.yaml", free_port()
    OmegaConf.save(config_for(folder / "pairs"), config)
    path = os.pathsep.join(str(ROOT / name) for name in ("verl", ".", "code-judge"))
    env = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    outs = [folder / f"rank{rank}of{ranks}.json" for rank in range(ranks)]
    started = [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), str(rank), str(ranks), str(port), str(config), str(outs[rank])],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(ranks)
    ]
    for process in started:
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 0, said[-3000:]
    return [json.loads(out.read_text()) for out in outs]


def test_two_ranks_are_one(tmp_path):
    """W3, W10: no pair on both ranks, all pairs of the batch on one of them, one gradient, one set of metrics."""
    (alone,) = run_ranks(tmp_path, 1)
    both = run_ranks(tmp_path, 2)
    assert sorted(both[0]["drawn"] + both[1]["drawn"]) == sorted(alone["drawn"])
    assert not set(both[0]["drawn"]) & set(both[1]["drawn"])
    for rank in both:
        assert rank["norm"] == pytest.approx(alone["norm"], rel=1e-5)
        assert rank["first"] == pytest.approx(alone["first"], rel=1e-3, abs=1e-7)
        for name in ("loss", "acc", "margin_mean", "margin_std", "position_bias"):
            assert rank["metrics"][name] == pytest.approx(alone["metrics"][name], rel=1e-4, abs=1e-6)
        assert rank["held_out"] == pytest.approx(alone["held_out"], abs=1e-5)
