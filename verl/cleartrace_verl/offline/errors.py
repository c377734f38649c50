"""Which exceptions of an offline command are the user's to mend. Anything else is a defect and keeps its traceback."""

from __future__ import annotations

from cleartrace.data.errors import DataError
from cleartrace.data.growing import StoreError
from cleartrace.llm.http import EndpointUnavailable
from cleartrace.serving import NotServed
from cleartrace_verl.compose import ConfigError
from cleartrace_verl.engine import EngineError
from cleartrace_verl.known_keys import UnknownKey
from code_judge.client import JudgeUnavailable

SETTINGS_ERRORS = (DataError, StoreError, ConfigError, UnknownKey, EngineError, NotServed)
STOPPING_ERRORS = (EndpointUnavailable, JudgeUnavailable)
