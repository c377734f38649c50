"""recipe/cluster: the files for Slurm and Kubernetes name commands, keys, ports and secrets that are there."""

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from cleartrace_verl.compose import compose
from cleartrace_verl.judge_env import JUDGE_TOKEN_VARIABLE, JUDGE_URL_VARIABLE
from cleartrace_verl.main import parse
from code_judge.cli import app as judge
from tests.docker.dockerfile import parse as parse_dockerfile

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "recipe/cluster"
SCRIPTS = sorted((*FOLDER.glob("*.sh"), *(ROOT / "docker").rglob("*.sh")))


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((FOLDER / name).read_text()))


JUDGE = documents("judge.yaml")
CLAIM, JOB = documents("kuberay.yaml")
CLUSTER = JOB["spec"]["rayClusterSpec"]
GROUPS = [CLUSTER["headGroupSpec"], *CLUSTER["workerGroupSpecs"]]


def of_kind(kind: str) -> dict[str, dict[str, Any]]:
    return {d["metadata"]["name"]: d["spec"] for d in JUDGE if d["kind"] == kind}


def judge_command(words: list[str]) -> None:
    command = typer.main.get_command(judge).commands[words[0]]  # pyright: ignore[reportAttributeAccessIssue]
    known = {name for option in command.params for name in option.opts}
    assert {word for word in words if word.startswith("--")} <= known


# ---------------------------------------------------------------- scripts


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_parses_and_stops_at_errors(script):
    text = script.read_text()
    assert subprocess.run(["bash", "-n", str(script)], capture_output=True).returncode == 0
    assert text.startswith("# shellcheck shell=bash") or "set -euo pipefail" in text


def test_slurm_options_come_before_the_first_command():
    lines = (FOLDER / "slurm.sh").read_text().splitlines()
    options = [number for number, line in enumerate(lines) if line.startswith("#SBATCH ")]
    first = next(number for number, line in enumerate(lines) if line and not line.startswith("#"))
    assert options and max(options) < first, "Slurm reads no further than the first command"
    assert {"#SBATCH --requeue", "#SBATCH --open-mode=append"} <= set(lines)


def test_the_signal_that_slurm_is_asked_for_is_the_one_that_is_caught():
    text = (FOLDER / "slurm.sh").read_text()
    (signal,) = re.findall(r"--signal=B:(\w+)@\d+", text)
    assert re.search(rf"^trap '.*requeue=true.*' {signal}$", text, re.M)


def test_slurm_starts_files_that_are_there():
    called = re.findall(r"bash (recipe/[\w/.]+\.sh)", (FOLDER / "slurm.sh").read_text())
    assert called and all((ROOT / path).is_file() for path in called)


def test_the_judge_of_a_node_is_started_by_a_known_command():
    (line,) = re.findall(r"^ *code-judge (.*) &$", (FOLDER / "node.sh").read_text(), re.M)
    judge_command(shlex.split(line))


def test_a_node_learns_the_judge_under_the_names_that_a_rollout_reads():
    text = (FOLDER / "slurm.sh").read_text()
    exported = {
        name for line in re.findall(r"^export (.+)$", text, re.M) for name in re.findall(r"\b[A-Z_]{4,}\b", line)
    }
    assert {JUDGE_URL_VARIABLE, JUDGE_TOKEN_VARIABLE, "RAY_AUTH_TOKEN", "RAY_AUTH_MODE", "RAY_TMPDIR"} <= exported


def stand_ins(folder: Path) -> dict[str, str]:
    """An environment whose `bash` script, started by the driver, only shows its words, and where all is up."""
    for name, body in {"ray": "exit 0", "python3": "exit 0"}.items():
        (folder / name).write_text(f"#!/bin/bash\n{body}\n")
        (folder / name).chmod(0o755)
    (folder / "show.sh").write_text('printf "%s\\n" "$0" "$@"\n')
    return {
        "PATH": f"{folder}:/usr/bin:/bin", "RAY_ADDRESS": "h:1", "SLURM_JOB_NUM_NODES": "3",
        "CLEARTRACE_JUDGE_URL": "http://127.0.0.1:8088",
    }  # fmt: skip


def driver_words(tmp_path: Path, *arguments: str) -> list[str]:
    environment = stand_ins(tmp_path)
    done = subprocess.run(
        ["bash", str(FOLDER / "driver.sh"), *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_driver_gives_a_script_what_the_cluster_sets(tmp_path):
    script, *words = driver_words(tmp_path, str(tmp_path / "show.sh"), "experiment=qwen3_4b_cleaner", "scale=cluster")
    assert script.endswith("show.sh")
    config = compose(parse(words).overrides, [ROOT / "recipe/cleaner"])
    assert config.trainer.nnodes == 3
    assert config.ray_kwargs.ray_init.address == "auto"
    assert config.cleartrace.judge.url == "http://127.0.0.1:8088"


def test_a_warning_of_slurm_reaches_the_training_as_a_request_to_stop(tmp_path):
    environment = stand_ins(tmp_path)
    program = tmp_path / "train.py"
    program.write_text(
        "import signal, sys, time\n"
        "signal.signal(signal.SIGINT, lambda *_: (print('stopped', flush=True), sys.exit(130)))\n"
        "print('started', flush=True)\ntime.sleep(30)\n"
    )
    script = tmp_path / "train.sh"
    script.write_text(f"exec {sys.executable} {program}\n")
    process = subprocess.Popen(
        ["bash", str(FOLDER / "driver.sh"), str(script)], cwd=tmp_path, env=environment, text=True,
        stdout=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert process.stdout and process.stdout.readline() == "started\n"
    os.killpg(process.pid, signal.SIGUSR1)  # as Slurm does: to every process of the step
    assert process.stdout.read() == "stopped\n", "to its end: nothing of it may hold the step's output"
    assert process.wait(10) == 130


def test_the_driver_defaults_to_a_recipe_that_is_there(tmp_path):
    default = tmp_path / "recipe/cleaner/qwen3_4b_cleaner.sh"
    default.parent.mkdir(parents=True)
    default.write_text('printf "%s\\n" "$0" "$@"\n')
    script, *words = driver_words(tmp_path, "trainer.save_freq=5")
    assert (ROOT / script).is_file()
    assert words[:2] == ["scale=cluster", "trainer.save_freq=5"]


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "submit this with sbatch"),
        ({"SLURM_JOB_ID": "1", "CODE_JUDGE_TOKEN_FILE": "/no/such/file"}, "cannot read CODE_JUDGE_TOKEN_FILE"),
        ({"SLURM_JOB_ID": "1", "CLEARTRACE_JUDGE_URL": "http://judge:8088"}, "needs CODE_JUDGE_TOKEN_FILE"),
    ],
)
def test_slurm_refuses_what_cannot_work(environment, message):
    done = subprocess.run(
        ["bash", str(FOLDER / "slurm.sh")], cwd=ROOT, env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2 and message in done.stderr


# ---------------------------------------------------------------- the judge on Kubernetes


@pytest.mark.parametrize("name", ["judge-api", "judge-workers"])
def test_the_judge_is_started_by_a_known_command(name):
    (container,) = of_kind("Deployment")[name]["template"]["spec"]["containers"]
    judge_command(container["args"])
    user = parse_dockerfile((ROOT / "docker/judge/Dockerfile").read_text()).all("USER")[0].partition(":")[0]
    assert of_kind("Deployment")[name]["template"]["spec"]["securityContext"]["runAsUser"] == int(user)


@pytest.mark.parametrize("name", ["judge-queue", "judge-api", "judge-workers"])
def test_a_pod_of_the_judge_has_no_privilege(name):
    spec = of_kind("Deployment")[name]["template"]["spec"]
    assert spec["automountServiceAccountToken"] is False and spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = spec["containers"]
    context = container["securityContext"]
    assert context["readOnlyRootFilesystem"] and context["capabilities"] == {"drop": ["ALL"]}
    assert context["allowPrivilegeEscalation"] is False
    assert container["resources"]["limits"]["memory"] and container["livenessProbe"]


@pytest.mark.parametrize("name", ["judge-queue", "judge-api", "judge-workers"])
def test_labels_selectors_and_policies_agree(name):
    deployment = of_kind("Deployment")[name]
    labels = deployment["template"]["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"] == labels
    policy = of_kind("NetworkPolicy")[name]
    assert policy["podSelector"]["matchLabels"] == labels and set(policy["policyTypes"]) == {"Ingress", "Egress"}


def test_services_lead_to_ports_that_are_listened_on():
    for name, service in of_kind("Service").items():
        (target,) = [d for d in of_kind("Deployment").values() if d["selector"]["matchLabels"] == service["selector"]]
        ports = target["template"]["spec"]["containers"][0]["ports"]
        assert [p["targetPort"] for p in service["ports"]] == [p["name"] for p in ports], name
        assert "type" not in service, "ClusterIP: nothing outside the cluster reaches it"


def test_queue_and_workers_reach_nothing_but_the_queue_and_names():
    policies = of_kind("NetworkPolicy")
    assert "egress" not in policies["judge-queue"] and "ingress" not in policies["judge-workers"]
    targets = [rule["to"] for rule in policies["judge-workers"]["egress"]]
    assert targets[0] == [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "judge-queue"}}}]
    assert [p["port"] for p in policies["judge-workers"]["egress"][1]["ports"]] == [53, 53] and len(targets) == 2


@pytest.mark.parametrize("name", ["judge.yaml", "kuberay.yaml"])
def test_secrets_are_referred_to_and_written_nowhere(name):
    def environment(node: Any) -> list[dict[str, Any]]:
        if isinstance(node, list):
            return [entry for item in node for entry in environment(item)]
        if isinstance(node, dict):
            return [*node.get("env", []), *(entry for item in node.values() for entry in environment(item))]
        return []

    secret = [e for d in documents(name) for e in environment(d) if re.search("TOKEN|PASSWORD", e["name"])]
    assert secret and all(e["valueFrom"]["secretKeyRef"]["name"] == "cleartrace-judge" for e in secret)


# ---------------------------------------------------------------- KubeRay


def test_the_entry_point_is_a_recipe_that_composes():
    words = shlex.split(JOB["spec"]["entrypoint"])
    assert words[:5] == ["cd", "/opt/cleartrace", "&&", "exec", "bash"] and (ROOT / words[5]).is_file()
    workdir = parse_dockerfile((ROOT / "docker/trainer/Dockerfile").read_text()).all("WORKDIR")[-1]
    assert workdir == words[1]
    config = compose(parse(["experiment=qwen3_4b_cleaner", *words[6:]]).overrides, [ROOT / "recipe/cleaner"])
    assert config.trainer.nnodes == 1 + sum(group["replicas"] for group in CLUSTER["workerGroupSpecs"])
    for group in GROUPS:
        limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
        assert int(limits["nvidia.com/gpu"]) == config.trainer.n_gpus_per_node
    service, _, port = config.cleartrace.judge.url.removeprefix("http://").partition(":")
    assert of_kind("Service")[service]["ports"][0]["port"] == int(port)


def test_ray_is_the_version_of_the_image_and_lets_nobody_in():
    for engine in ("sglang", "vllm"):
        text = (ROOT / f"docker/trainer/requirements-{engine}.txt").read_text()
        assert f"ray=={CLUSTER['rayVersion']}\n" in text
    assert CLUSTER["authOptions"] == {"mode": "token"}


@pytest.mark.parametrize("group", GROUPS, ids=["head", "gpu"])
def test_every_node_finds_the_judge_and_the_storage(group):
    template = group["template"]
    (container,) = template["spec"]["containers"]
    environment = {entry["name"]: entry for entry in container["env"]}
    assert {JUDGE_URL_VARIABLE, JUDGE_TOKEN_VARIABLE} <= set(environment)
    assert environment[JUDGE_URL_VARIABLE]["value"] in JOB["spec"]["entrypoint"]
    (client,) = of_kind("NetworkPolicy")["judge-api"]["ingress"][0]["from"]
    assert client["podSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    assert {m["name"] for m in container["volumeMounts"]} == {v["name"] for v in template["spec"]["volumes"]}
    assert template["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] == CLAIM["metadata"]["name"]
    user = parse_dockerfile((ROOT / "docker/trainer/Dockerfile").read_text()).all("USER")[0].partition(":")[0]
    assert template["spec"]["securityContext"]["runAsUser"] == int(user)


def test_a_lost_cluster_is_made_again():
    assert JOB["spec"]["backoffLimit"] > 0 and JOB["spec"]["shutdownAfterJobFinishes"]
