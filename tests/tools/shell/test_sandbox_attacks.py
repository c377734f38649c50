"""Commands in the local sandbox that try in earnest. What they did is measured outside of it."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from cleartrace.tools.result import ToolStatus
from cleartrace.tools.shell import workspace
from cleartrace.tools.shell.local import LocalRuntime, LocalSandbox, _host
from cleartrace.tools.shell.runtime import CommandResult, SandboxLost
from tests.tools.shell.cases import CONFIG, HIDDEN, SECRET, small_task


def in_sandbox(tmp_path: Path, use: Callable[[LocalSandbox], Awaitable[object]]) -> object:
    """Run `use` on a prepared sandbox of the small task."""

    async def go() -> object:
        sandbox = await LocalRuntime(CONFIG).open(small_task(tmp_path / "repository").task)
        try:
            await workspace.prepare(sandbox, HIDDEN)
            return await use(sandbox)
        finally:
            await sandbox.close()

    return asyncio.run(go())


def run(tmp_path: Path, *commands: str, timeout_s: float = 20) -> list[CommandResult]:
    async def use(sandbox: LocalSandbox) -> list[CommandResult]:
        return [await sandbox.run(command, timeout_s) for command in commands]

    done = in_sandbox(tmp_path, use)
    assert isinstance(done, list)
    return done


def processes_with(word: str) -> list[int]:
    """Processes of this machine whose command line has `word` in it."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if word.encode() in line and int(entry.name) != os.getpid():
                found.append(int(entry.name))
    return found


def test_files_stay_and_variables_do_not(tmp_path):
    first, second = run(tmp_path, "cd shapes; export X=1; echo kept > note", "pwd; echo [$X]; cat note shapes/note")
    assert first.ok
    assert second.output.splitlines()[1:] == ["[]", "cat: note: No such file or directory", "kept"]


def test_both_streams_come_in_their_order_with_the_exit_status(tmp_path):
    (done,) = run(tmp_path, "echo one; echo two >&2; echo three; exit 7")
    assert (done.output, done.exit_code, done.status) == ("one\ntwo\nthree\n", 7, ToolStatus.PROGRAM_ERROR)


def test_attack_network(tmp_path):
    """No address family, and no server of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]
        tcp, dns, interfaces = run(
            tmp_path,
            f"exec 5<>/dev/tcp/127.0.0.1/{port} && echo REACHED",
            "python -c 'import socket; socket.socket(socket.AF_UNIX)' && echo REACHED",
            "cat /proc/net/dev | grep -c :",
        )
        assert "REACHED" not in tcp.output + dns.output
        with pytest.raises(TimeoutError):
            server.accept()
        assert interfaces.output.strip() in ("0", "1")  # the loopback of an empty namespace at most


def test_attack_hidden_tests_and_secrets(tmp_path, monkeypatch):
    """Nothing of the hidden part is in any file, environment or process that a command can read."""
    monkeypatch.setenv("API_SECRET", f"env-{SECRET}")
    bait = tmp_path / "bait"
    bait.write_text(SECRET)
    bait.chmod(0o644)
    found, direct, environment, repository, history = run(
        tmp_path,
        f"grep -rl --exclude-dir=proc --exclude-dir=usr --exclude-dir=lib {SECRET[:-2]} / 2>/dev/null; true",
        f"cat {bait}",
        "cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n'",
        f"ls {tmp_path} {Path(__file__).parent}",
        "git log --all --oneline | wc -l; git fsck --lost-found | wc -l",
    )
    assert found.output == ""
    assert direct.status is ToolStatus.PROGRAM_ERROR and SECRET not in direct.output
    assert SECRET not in environment.output and "API_SECRET" not in environment.output
    assert repository.output.count("No such file or directory") == 2
    assert history.output.split() == ["1", "0"]


def test_attack_write_outside(tmp_path):
    """Only the repository and temporary files can be changed, and not through links."""
    victim = tmp_path / "victim"
    victim.write_text("whole")
    victim.chmod(0o666)
    (done,) = run(
        tmp_path,
        f"for p in /usr/x /etc/x /x /box/x /proc/sys/kernel/hostname {victim} $(dirname $(which python))/x; do "
        "echo bad > $p && echo WROTE $p; done; ln -s / all; echo bad > all/etc/passwd && echo WROTE link; "
        "mount -t tmpfs none /usr && echo WROTE mount; chmod 777 /etc && echo WROTE mode; true",
    )
    assert "WROTE" not in done.output
    assert victim.read_text() == "whole"


def test_attack_symlinks_are_not_followed_out(tmp_path):
    """What is read back of a sandbox is a diff, made inside: a link in it stays a link."""
    secret = tmp_path / "host-secret"
    secret.write_text(SECRET)

    async def use(sandbox: LocalSandbox) -> str:
        base = (await sandbox.run("git rev-parse HEAD", 5)).output.strip()
        await sandbox.run(f"ln -s {secret} stolen; ln -s /etc folder; ln -s loop loop", 5)
        return await workspace.working_diff(sandbox, base)

    diff = str(in_sandbox(tmp_path, use))
    assert SECRET not in diff
    assert diff.count("new file mode 120000") == 3


def test_attack_fork_bomb(tmp_path):
    """Bounded in number and ended; the next command works."""
    word = f"bomb-{os.getpid()}"
    bomb, after = run(tmp_path, f"b() {{ b | b & }}; : {word}; b; sleep 30", "echo alive", timeout_s=3)
    assert bomb.status is not ToolStatus.OK
    assert (after.output, after.ok) == ("alive\n", True)
    assert processes_with(word) == []


def test_attack_endless_output(tmp_path):
    """Stopped at a bound long before the time limit."""
    begun = time.monotonic()
    flood, after = run(tmp_path, "yes", "echo alive")
    assert flood.stopped == "output" and flood.cut
    assert len(flood.output) <= 8 << 20
    assert time.monotonic() - begun < 15
    assert after.output == "alive\n"


def test_attack_background_process_does_not_outlive_its_command(tmp_path):
    """Neither the command nor the sandbox leaves a process behind."""
    word = f"hide-{os.getpid()}"
    script = f"import os, time; os.setsid(); time.sleep(60)  # {word}"

    async def use(sandbox: LocalSandbox) -> list[int]:
        done = await sandbox.run(f"nohup setsid python -c '{script}' >/dev/null 2>&1 & disown; echo left", 10)
        assert done.output == "left\n"
        return processes_with(word)

    assert in_sandbox(tmp_path, use) == []
    assert processes_with(word) == []


def test_attack_memory_and_disk(tmp_path):
    """Both are bounded, and the sandbox lives on."""
    memory, disk, after = run(
        tmp_path,
        "python -c 'x = bytearray(2 << 30)' && echo HAD",
        "for i in 1 2 3; do head -c 20000000 /dev/zero > big$i || break; done; du -sm . | cut -f1; rm -f big*",
        "echo alive",
    )
    assert "HAD" not in memory.output
    assert int(disk.output.split()[-1]) <= CONFIG.disk_mb
    assert after.output == "alive\n"


def test_attack_stop_and_kill_everything(tmp_path):
    """A command may end itself and what it started, and nothing else."""
    killed, after = run(tmp_path, "kill -9 -1; kill -9 1; kill -STOP 1; echo still", "echo alive")
    assert killed.status in (ToolStatus.OK, ToolStatus.PROGRAM_ERROR)
    assert after.output == "alive\n"


def test_a_command_that_takes_too_long_is_a_timeout_of_the_models(tmp_path):
    (late,) = run(tmp_path, "trap '' TERM INT; echo begun; sleep 60", timeout_s=1)
    assert (late.status, late.stopped, late.exit_code) == (ToolStatus.TIMEOUT, "wall", None)
    assert late.output == "begun\n"
    assert late.cost_s < 4


def test_two_sandboxes_do_not_see_each_other(tmp_path):
    async def go() -> tuple[str, str]:
        runtime = LocalRuntime(CONFIG)
        task = small_task(tmp_path / "repository").task
        one, two = await asyncio.gather(runtime.open(task), runtime.open(task))
        await one.run("echo mine > /tmp/a; echo mine > a", 5)
        seen = (await two.run("ls a /tmp/a; ls /proc | grep -c '^[0-9]'", 5)).output
        names = (await two.run("id -u", 5)).output, (await one.run("id -u", 5)).output
        await one.close()
        await two.close()
        return seen, str(names[0] == names[1])

    seen, same_user = asyncio.run(go())
    assert "mine" not in seen and seen.count("No such file") == 2
    assert same_user == "False"


def test_nothing_is_left_on_this_machine(tmp_path):
    run(tmp_path, "echo x > y")
    left = [path for path in _host().base_dir.iterdir() if path.name.startswith("slot-")]
    assert left == []


def test_a_closed_sandbox_runs_nothing(tmp_path):
    async def go() -> None:
        sandbox = await LocalRuntime(CONFIG).open(small_task(tmp_path / "repository").task)
        await sandbox.close()
        await sandbox.close()
        with pytest.raises(SandboxLost, match="closed"):
            await sandbox.run("echo x", 5)

    asyncio.run(go())


def test_at_most_the_configured_number_is_open(tmp_path):
    async def go() -> bool:
        runtime = LocalRuntime(CONFIG.model_copy(update={"at_once": 1}))
        task = small_task(tmp_path / "repository").task
        first = await runtime.open(task)
        second = asyncio.ensure_future(runtime.open(task))
        await asyncio.sleep(0.3)
        waited = not second.done()
        await first.close()
        await (await second).close()
        return waited

    assert asyncio.run(go())


def test_a_missing_repository_or_package_says_what_to_do(tmp_path):
    task = small_task(tmp_path / "repository").task
    runtime = LocalRuntime(CONFIG)
    with pytest.raises(SandboxLost, match="write the task rows again"):
        asyncio.run(runtime.open(task.model_copy(update={"repository": str(tmp_path / "none")})))
    with pytest.raises(SandboxLost, match="no-such-package"):
        asyncio.run(LocalRuntime(CONFIG).open(task.model_copy(update={"packages": ("no-such-package",)})))
