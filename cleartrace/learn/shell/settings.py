"""Settings of a shell, for every command whose model reads with one."""

from __future__ import annotations

from pydantic import BaseModel, Field

from cleartrace.learn.shell.shell import Limits


class ShellSettings(BaseModel):
    """How much may be read in one reflection."""

    shell_calls: int = Field(60, ge=1, description="Calls of the shell in one reflection.")
    shell_call_bytes: int = Field(12_000, ge=200, description="Bytes of one answer of the shell.")
    shell_total_bytes: int = Field(400_000, ge=200, description="Bytes of all answers of the shell in one reflection.")
    shell_seconds: float = Field(5.0, gt=0, description="Seconds of one call of the shell.")

    @property
    def shell_limits(self) -> Limits:
        return Limits(
            call_bytes=self.shell_call_bytes,
            calls=self.shell_calls,
            total_bytes=self.shell_total_bytes,
            call_seconds=self.shell_seconds,
        )
