"""The runtime that a configuration names."""

from __future__ import annotations

from cleartrace.tools.shell.config import RuntimeKind, ShellConfig
from cleartrace.tools.shell.runtime import Runtime


def make_runtime(config: ShellConfig) -> Runtime:
    """A new runtime; it belongs to the event loop that first uses it."""
    if config.runtime is RuntimeKind.CONTAINER:
        from cleartrace.tools.shell.container import ContainerRuntime

        return ContainerRuntime(config)
    from cleartrace.tools.shell.local import LocalRuntime

    return LocalRuntime(config)
