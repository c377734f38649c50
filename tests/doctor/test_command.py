"""The command as a user runs it."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def cleartrace(*args: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cleartrace.cli", *args], cwd=cwd, capture_output=True, text=True, timeout=300
    )


def test_doctor_here():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    done = cleartrace("doctor", "--json", "--port", str(port))
    assert done.returncode == 0, done.stdout + done.stderr
    answer = json.loads(done.stdout)
    status = {check["name"]: check["status"] for check in answer["checks"]}
    assert answer["usable"]
    assert status["veRL plug-in"] == status["shipped policy loads"] == status[f"port {port}"] == "ok"


def test_an_occupied_port_sets_the_exit_status(tmp_path, monkeypatch, good):
    from dataclasses import replace

    from typer.testing import CliRunner

    from cleartrace import doctor
    from cleartrace.cli import app
    from cleartrace.doctor.probe_machine import try_port

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        taken = listener.getsockname()[1]
        monkeypatch.setattr(doctor, "gather", lambda root, port: replace(good, port=port, port_trial=try_port(port)))
        done = CliRunner().invoke(app, ["doctor", "--port", str(taken)])
    assert done.exit_code == 1
    assert f"port {taken}" in done.output
    assert "FAIL" in done.output


@pytest.mark.parametrize("args", [["--help"], ["doctor", "--help"], ["report", "--help"]])
def test_help(args):
    done = cleartrace(*args)
    assert done.returncode == 0, done.stderr
    assert "sage: cleartrace" in done.stdout.replace("Usage: python -m cleartrace.cli", "Usage: cleartrace")


def test_train_hands_on_arguments_and_exit_status():
    done = cleartrace("train", "--dry-run", "no.such.key=1")
    assert done.returncode == 2
    assert "no.such.key" in done.stdout
