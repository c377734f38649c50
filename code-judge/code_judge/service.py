"""Puts the parts of one host together: queue, workers, API."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import os
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from code_judge import leftovers
from code_judge.api.app import create_app
from code_judge.pool import WorkerPool
from code_judge.sandbox.cgroups import CgroupHome
from code_judge.sandbox.host import remove_tree
from code_judge.settings import Settings
from code_judge.valkey import EmbeddedValkey

log = logging.getLogger(__name__)
_CHECK_S = 0.1


@dataclass(frozen=True)
class ServeConfig:
    """`queue_url` None starts an embedded Valkey. `parent_pid`: stop when that process ends."""

    host: str
    port: int
    workers: int
    settings: Settings
    queue_url: str | None = None
    run_dir: Path | None = None
    port_file: Path | None = None
    parent_pid: int | None = None


class WorkersRefused(RuntimeError):
    """What the settings ask for cannot be had here."""


class UnsafeBinding(ValueError):
    """The service would be open to other hosts without a token."""


def check_binding(host: str, token: str | None) -> None:
    """Raises UnsafeBinding for an address beyond loopback without a token."""
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback and not token:
        raise UnsafeBinding(f"refusing to listen on {host} without a token: set CODE_JUDGE_TOKEN, or bind to 127.0.0.1")


def _sweep() -> None:
    """Remove what services that were killed left on this host."""
    leftovers.sweep(Path(tempfile.gettempdir()))
    if (groups := CgroupHome.find()) is not None:
        groups.sweep_ended(leftovers.YOUNG_S)


@contextlib.contextmanager
def _private_dir(given: Path | None, remove: bool) -> Iterator[tuple[Path, tuple[int, ...]]]:
    """The run directory, and descriptors whose copies in workers keep it from being swept."""
    _sweep()
    path = given or Path(tempfile.mkdtemp(prefix=leftovers.PREFIX))
    locks = (leftovers.take(path),) if remove else ()
    # Runs pass through it to their own directories; only root and the owner can list it.
    path.chmod(0o711)
    try:
        yield path, locks
    finally:
        if remove:
            remove_tree(path)
        for lock in locks:
            os.close(lock)


def _ignore_reraised_signals() -> None:
    # The HTTP server raises a caught signal again after its shutdown; the default action would skip our clean-up.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)


def _on_exit_of(pid: int, action: Callable[[], None]) -> None:
    """Call `action` once, when process `pid` ends. Raises ProcessLookupError."""
    fd, loop = os.pidfd_open(pid), asyncio.get_running_loop()

    def ended() -> None:
        loop.remove_reader(fd)  # it stays readable, and would wake the loop for ever
        action()

    loop.add_reader(fd, ended)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named in full: asyncio sends at once only on sockets that say they are TCP, and waiting costs 40 ms a reply.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    return listener


async def _keep_alive(valkey: EmbeddedValkey) -> None:
    """From the main thread, whose end also ends the server."""
    while True:
        await asyncio.sleep(_CHECK_S)
        if valkey.restart_if_dead():
            log.warning("the embedded queue server had ended and was started again")


async def _serve(config: ServeConfig, valkey: EmbeddedValkey | None, pool: WorkerPool) -> None:
    app = create_app(pool.queue_url, config.settings)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=3))

    def leave() -> None:
        server.should_exit = True

    if config.parent_pid is not None:
        _on_exit_of(config.parent_pid, leave)
    watcher: asyncio.Task[None] | None = None
    keeper = None if valkey is None else asyncio.create_task(_keep_alive(valkey))
    listener = _listen(config.host, config.port)
    port = listener.getsockname()[1]
    log.warning("listening on http://%s:%d", config.host, port)
    try:
        if config.workers:
            pool.start()
            watcher = asyncio.create_task(pool.watch())
            watcher.add_done_callback(lambda _: leave())
        if config.port_file is not None:
            config.port_file.write_text(str(port))
        await server.serve(sockets=[listener])
        if watcher is not None and watcher.done():
            raise WorkersRefused("the workers refused to start; their messages say why")
    finally:
        for task in (watcher, keeper):
            if task is not None:
                task.cancel()
        pool.stop()
        listener.close()


def serve(config: ServeConfig) -> None:
    """Run the service until SIGTERM or SIGINT. Raises UnsafeBinding, OSError (port taken), RuntimeError (Valkey)."""
    check_binding(config.host, config.settings.token)
    _ignore_reraised_signals()
    # A parent that was killed cannot remove the directory it made for us.
    remove = config.run_dir is None or config.parent_pid is not None
    with _private_dir(config.run_dir, remove) as (run_dir, locks):
        if config.queue_url is not None:
            asyncio.run(_serve(config, None, WorkerPool(config.queue_url, config.workers, run_dir, locks)))
            return
        valkey = EmbeddedValkey(run_dir)
        valkey.start()
        try:
            asyncio.run(_serve(config, valkey, WorkerPool(valkey.url, config.workers, run_dir, locks)))
        finally:
            valkey.stop()


async def _work(pool: WorkerPool) -> None:
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    pool.start()
    watcher = asyncio.create_task(pool.watch())
    watcher.add_done_callback(lambda _: over.set())
    try:
        await over.wait()
        if watcher.done():
            raise WorkersRefused("the workers refused to start; their messages say why")
    finally:
        watcher.cancel()
        pool.stop()


def work(queue_url: str, workers: int) -> None:
    """Run workers for an existing queue until SIGTERM or SIGINT."""
    with _private_dir(None, remove=True) as (run_dir, locks):
        asyncio.run(_work(WorkerPool(queue_url, workers, run_dir, locks)))
