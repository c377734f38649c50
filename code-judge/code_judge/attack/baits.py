"""What attacks are aimed at: servers on loopback, files, a process of the judge's own user, secrets in many places."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from code_judge.attack.host_ipc import HostIpc
from code_judge.sandbox import proctree
from code_judge.sandbox.host import remove_tree

_MODES = {"secret.txt": 0o644, "open.txt": 0o666}
_NAMES = {*_MODES, "s"}
SECRET_ENV = "CODE_JUDGE_ATTACK_SECRET"
_VICTIM = "import os, time\nheld = os.environ['REDIS_URI']\nwhile True: time.sleep(1)"


def new_secret(name: str) -> str:
    """A word that programs know how to look for, but do not know."""
    return f"SECRET_{name}_{secrets.token_hex(16)}"


@dataclass
class Baits:
    """`directory` lies outside every slot, and everybody may write there."""

    directory: Path
    secrets: dict[str, str]
    servers: dict[str, object]
    """Name -> address of each server."""
    victim: subprocess.Popen[bytes]
    ipc: HostIpc
    token: str
    reached: set[str] = field(default_factory=set)
    """Servers that something arrived at."""
    size: int = 0
    """Bytes of the secret file."""

    @property
    def secret_file(self) -> Path:
        return self.directory / "secret.txt"

    @property
    def open_file(self) -> Path:
        return self.directory / "open.txt"

    def harm(self) -> list[str]:
        """What happened to the files and to the process since they were set up."""
        found = []
        for path, text in ((self.secret_file, self.secrets["file"]), (self.open_file, "untouched\n")):
            if not _holds(path, text):
                found.append(f"{path.name}, a file outside, was changed")
        extra = sorted(path.name for path in self.directory.iterdir() if path.name not in _NAMES)
        if extra:
            found.append(f"files outside were made: {extra[:3]}")
        if self.victim.poll() is not None:
            found.append("a process outside was killed")
        elif proctree.is_stopped(self.victim.pid):
            found.append("a process outside was stopped")
        return found + self.ipc.harm()

    def restore(self) -> None:
        """As it was before the attack."""
        if self.victim.poll() is not None:
            self.victim = _victim(self.secrets["redis"])
        self.victim.send_signal(signal.SIGCONT)
        for path in self.directory.iterdir():
            if path.name not in _NAMES:
                remove_tree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        self.write()
        self.ipc.make()

    def write(self) -> None:
        # A size that nobody guesses.
        text = self.secrets["file"] + "\n" * (4000 + secrets.randbelow(4000))
        self.size = len(text)
        for path, content in ((self.secret_file, text), (self.open_file, "untouched\n")):
            path.unlink(missing_ok=True)
            path.write_text(content)
            path.chmod(_MODES[path.name])


def _holds(path: Path, text: str) -> bool:
    try:
        facts = path.stat()
        return path.read_text().startswith(text) and facts.st_mode & 0o7777 == _MODES[path.name]
    except OSError:
        return False


def _victim(secret: str) -> subprocess.Popen[bytes]:
    env = {"PATH": os.environ.get("PATH", ""), "REDIS_URI": f"redis://:{secret}@127.0.0.1:6379/0"}
    return subprocess.Popen([sys.executable, "-c", _VICTIM], env=env, stdin=subprocess.DEVNULL)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, name: str, reached: set[str]) -> None:
        self.name, self.reached = name, reached

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.reached.add(self.name)


def _greeter(name: str, secret: str, reached: set[str]):
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.add(name)
        with contextlib.suppress(OSError):  # it went away
            writer.write(f"-NOAUTH {secret}\r\n".encode())
            await writer.drain()
        writer.close()

    return greet


async def _serve(stack: contextlib.AsyncExitStack, baits: Baits, secret: str) -> None:
    """Listen in every way that a program might try."""
    loop, reached = asyncio.get_running_loop(), baits.reached

    def keep(name: str, address: object, server: asyncio.AbstractServer | asyncio.BaseTransport) -> None:
        baits.servers[name] = address
        stack.callback(server.close)

    server = await asyncio.start_server(_greeter("tcp", secret, reached), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    keep("tcp", ["127.0.0.1", port], server)
    with contextlib.suppress(OSError):  # no IPv6 here
        server = await asyncio.start_server(_greeter("tcp6", secret, reached), "::1", 0)
        keep("tcp6", ["::1", server.sockets[0].getsockname()[1]], server)
    path = str(baits.directory / "s")
    keep("unix", path, await asyncio.start_unix_server(_greeter("unix", secret, reached), path))
    os.chmod(path, 0o777)
    name = f"\0judge-bait-{baits.token}"
    keep("abstract", name, await asyncio.start_unix_server(_greeter("abstract", secret, reached), name))
    transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams("udp", reached), ("127.0.0.1", 0))
    keep("udp", ["127.0.0.1", transport.get_extra_info("sockname")[1]], transport)
    plain = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    plain.bind(f"\0judge-bait-datagrams-{baits.token}")
    transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams("unix datagram", reached), sock=plain)
    keep("datagrams", f"\0judge-bait-datagrams-{baits.token}", transport)


@contextlib.asynccontextmanager
async def lay_out() -> AsyncIterator[Baits]:
    """Set everything up, and take it away at the end."""
    names = ("file", "environ", "memory", "redis", "sibling", "earlier", "expected", "ipc")
    words = {name: new_secret(name) for name in names}
    directory = Path(tempfile.mkdtemp(prefix="judge-bait-"))
    directory.chmod(0o777)
    baits = Baits(directory, words, {}, _victim(words["redis"]), HostIpc(words["ipc"]), secrets.token_hex(8))
    os.environ[SECRET_ENV] = words["environ"]
    try:
        baits.write()
        async with contextlib.AsyncExitStack() as stack:
            await _serve(stack, baits, words["redis"])
            yield baits
    finally:
        os.environ.pop(SECRET_ENV, None)
        with contextlib.suppress(ProcessLookupError):
            os.kill(baits.victim.pid, signal.SIGKILL)
        baits.victim.wait()
        baits.ipc.remove()
        remove_tree(directory)


def digests(paths: list[str]) -> dict[str, str]:
    """SHA-256 by path, of those that are there and not empty."""
    found = {}
    for path in paths:
        with contextlib.suppress(OSError):
            data = Path(path).read_bytes()
            if data:
                found[path] = hashlib.sha256(data).hexdigest()
    return found
