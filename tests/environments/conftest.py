from __future__ import annotations

import pytest

from cleartrace.environments.install import interpreter
from cleartrace.environments.registry import MissingPackage, find


@pytest.fixture
def installed():
    """The interpreter that has an environment's package; skips with what to do where none has it."""

    def look(name: str) -> str | None:
        try:
            return interpreter(find(name))
        except MissingPackage as error:
            pytest.skip(str(error))

    return look
