"""The Dockerfiles: what they copy exists, what they install is pinned as veRL pins it, and nobody is root in them."""

import importlib.metadata
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.docker.dockerfile import copied_from_context, parse, passes

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ("cpu", "judge", "trainer")
ENGINES = ("sglang", "vllm")
FILES = {name: parse((ROOT / f"docker/{name}/Dockerfile").read_text()) for name in IMAGES}
IGNORES = {name: (ROOT / f"docker/{name}/Dockerfile.dockerignore").read_text() for name in IMAGES}


def pins(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==([\w.+]+)", path.read_text(), re.M))


ENGINE_PINS = {engine: pins(ROOT / f"docker/trainer/requirements-{engine}.txt") for engine in ENGINES}


def pinned_by_verl(extra: str) -> dict[str, str]:
    """Exact versions that the installed veRL asks for under an extra, the extras it names included."""
    found = {}
    for text in importlib.metadata.requires("verl") or []:
        requirement = Requirement(text)
        if requirement.marker is None or not requirement.marker.evaluate({"extra": extra}):
            continue
        if requirement.name == "verl":
            for inner in requirement.extras:
                found |= pinned_by_verl(inner)
        for specifier in requirement.specifier:
            if specifier.operator == "==":
                found[requirement.name] = specifier.version
    return found


# ---------------------------------------------------------------- what is built


@pytest.mark.parametrize("name", IMAGES)
def test_every_source_is_there_and_gets_past_the_ignore_file(name):
    for source in copied_from_context(FILES[name]):
        assert (ROOT / source).exists(), source
        inside = [source, *map(str, (p.relative_to(ROOT) for p in (ROOT / source).glob("*")))]
        assert any(passes(IGNORES[name], path) for path in inside), f"{source} never reaches the build"


@pytest.mark.parametrize("engine", ENGINES)
def test_both_engines_reach_the_build(engine):
    assert passes(IGNORES["trainer"], f"docker/trainer/requirements-{engine}.txt")


READ = (
    "pyproject.toml",
    "cleartrace/cli.py",
    "code-judge/code_judge/cli.py",
    "dataset/quickstart/policy/config.json",
    "docker/trainer/health.py",
    "recipe/cleaner/quickstart.sh",
    "verl/cleartrace_verl/config/cleartrace.yaml",
)


@pytest.mark.parametrize("name", ["cpu", "trainer"])
@pytest.mark.parametrize("path", READ)
def test_what_a_run_reads_reaches_the_build(name, path):
    assert (ROOT / path).is_file()
    assert passes(IGNORES[name], path)


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("path", [".git/config", ".venv/bin/python", "runs/x/config.yaml", "tests/run.sh", ".env"])
def test_nothing_private_reaches_the_build(name, path):
    assert not passes(IGNORES[name], path)


@pytest.mark.parametrize("name", IMAGES)
def test_every_base_image_has_a_version(name):
    file = FILES[name]
    stages = {words[-1] for words in map(str.split, file.all("FROM")) if "AS" in words}
    for value in file.all("FROM"):
        base = value.split()[0]
        base = file.arguments["BASE_IMAGE"] if base == "${BASE_IMAGE}" else base
        assert base in stages or re.fullmatch(r"[\w./-]+:[\w.-]*(\d|bookworm)[\w.-]*", base), base


def test_the_trainer_has_the_cuda_of_its_torch():
    cuda = re.search(r"cuda:(\d+\.\d+)", FILES["trainer"].arguments["BASE_IMAGE"])
    assert cuda
    for engine in ENGINES:
        assert ENGINE_PINS[engine]["cuda-toolkit"].startswith(cuda.group(1))


# ---------------------------------------------------------------- who runs


@pytest.mark.parametrize("name", IMAGES)
def test_nobody_is_root(name):
    file = FILES[name]
    (user,) = file.all("USER", file.last_stage)
    uid = user.partition(":")[0]
    assert uid.isdigit() and int(uid) >= 1000, "a number, which Kubernetes can check"
    assert any(f"useradd --uid {uid}" in value for value in file.all("RUN", file.last_stage))
    after = [i.name for i in file.instructions][[i.name for i in file.instructions].index("USER") + 1 :]
    assert not {"RUN", "COPY", "ADD"} & set(after)


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_says_how_it_is_and_what_it_does(name):
    file = FILES[name]
    assert file.all("HEALTHCHECK", file.last_stage) and file.all("CMD", file.last_stage)
    if name != "judge":
        assert "org.opencontainers.image.licenses" in file.all("LABEL", file.last_stage)[0]


@pytest.mark.parametrize("name", ["cpu", "trainer"])
def test_a_trainer_is_stopped_by_the_signal_that_it_handles(name):
    assert FILES[name].all("STOPSIGNAL", FILES[name].last_stage) == ["SIGINT"]


@pytest.mark.parametrize("name", IMAGES)
def test_package_lists_do_not_stay_in_a_layer(name):
    for value in FILES[name].all("RUN"):
        assert "apt-get install" not in value or value.endswith("rm -rf /var/lib/apt/lists/*")


@pytest.mark.parametrize("name", ["cpu", "trainer"])
def test_commands_name_files_of_the_repository(name):
    text = " ".join((*FILES[name].all("CMD"), *FILES[name].all("HEALTHCHECK")))
    paths = re.findall(r'"([\w/]+/[\w.]+\.(?:sh|py))"', text)
    assert len(paths) == 2
    assert all((ROOT / path).is_file() for path in paths)


# ---------------------------------------------------------------- versions


@pytest.mark.parametrize("engine", ENGINES)
def test_the_engine_image_has_what_verl_pins(engine):
    wanted = pinned_by_verl(engine) | pinned_by_verl("fsdp")
    assert {engine, "torch", "transformers", "flash-attn"} <= set(wanted)
    flash = wanted.pop("flash-attn")
    assert f"flash-attn=={flash}" in " ".join(FILES["trainer"].all("RUN"))
    assert {name: ENGINE_PINS[engine].get(name) for name in wanted} == wanted


@pytest.mark.parametrize("engine", ENGINES)
def test_verl_is_the_one_that_is_tested(engine):
    assert ENGINE_PINS[engine]["verl"] == importlib.metadata.version("verl") == pins(ROOT / "requirements.txt")["verl"]


@pytest.mark.parametrize("engine", ENGINES)
def test_what_cleartrace_and_the_judge_need_is_pinned(engine):
    for distribution in ("cleartrace", "code-judge"):
        for text in importlib.metadata.requires(distribution) or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": "", "python_version": "3.12"}):
                version = ENGINE_PINS[engine].get(requirement.name)
                assert version and version in requirement.specifier, text


@pytest.mark.parametrize("engine", ENGINES)
def test_flash_attn_4_writes_over_no_file_of_flash_attn(engine):
    assert not {"flash-attn-4", "flash-attn"} & set(ENGINE_PINS[engine])


def test_the_judge_is_installed_with_the_pins_of_the_project():
    (command,) = [value for value in FILES["judge"].all("RUN") if "pip install" in value]
    assert "--constraint /tmp/requirements.txt" in command


# ---------------------------------------------------------------- the health check


def health(*arguments: str) -> subprocess.CompletedProcess[str]:
    script = ROOT / "docker/trainer/health.py"
    return subprocess.run([sys.executable, "-S", str(script), *arguments], capture_output=True, text=True)


def test_a_run_that_writes_is_healthy_and_one_that_hangs_is_not(tmp_path):
    assert health(str(tmp_path)).returncode == 0, "nothing has started yet"
    log = tmp_path / "one/train.log"
    log.parent.mkdir()
    log.touch()
    assert health(str(tmp_path), "10").returncode == 0
    an_hour_ago = time.time() - 3600
    os.utime(log, (an_hour_ago, an_hour_ago))
    done = health(str(tmp_path), "10")
    assert done.returncode == 1 and "unhealthy after 10 min" in done.stdout
    (tmp_path / "two").mkdir()
    (tmp_path / "two/events.jsonl").touch()
    assert health(str(tmp_path), "10").returncode == 0, "another run goes on"


# ---------------------------------------------------------------- the reader of these tests


def test_the_reader_reads():
    file = parse(
        "# x\nARG A=b\nFROM a:1 AS one\nRUN x \\\n    && y\n"
        "FROM one\nCOPY --chown=1:1 s/${A} t /u\nCOPY --from=one /v /w\n"
    )
    assert file.all("RUN", 1) == ["x && y"] and file.all("RUN", 2) == [] and file.last_stage == 2
    assert copied_from_context(file) == ["s/b", "t"]
    rules = "*\n!kept\n!deep/file\n**/__pycache__"
    assert passes(rules, "kept/x") and passes(rules, "deep/file")
    assert not passes(rules, "other") and not passes(rules, "deep/other") and not passes(rules, "kept/__pycache__/x")
