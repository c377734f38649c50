"""Environments whose answers are replaced by a marked text, to see where it comes out (A4). For host processes."""

from __future__ import annotations

from dataclasses import replace

from cleartrace.environments.agentdojo import AgentDojo
from cleartrace.environments.bfcl import Bfcl
from cleartrace.environments.tau2 import Tau2

CANARY = "canary7261"


class MarkedDojo(AgentDojo):
    def __init__(self) -> None:
        super().__init__(suites="banking")
        from agentdojo.functions_runtime import FunctionCall

        for user in self.suites["banking"].user_tasks.values():
            call = FunctionCall(function="read_file", args={"file_path": CANARY})
            user.GROUND_TRUTH_OUTPUT = CANARY
            user.ground_truth = lambda _, call=call: [call]


class MarkedBfcl(Bfcl):
    @property
    def _entries(self):
        gold = (f"mkdir(dir_name='{CANARY}')",)
        entries = {key: entry for key, entry in super()._entries.items() if "mkdir" in entry.documented}
        return {key: replace(entry, gold=(gold,) * len(entry.turns)) for key, entry in entries.items()}


class MarkedTau2(Tau2):
    @property
    def _loaded(self):
        loaded = super()._loaded
        for _, task in loaded.values():
            task.description = None
            for action in task.evaluation_criteria.actions or []:
                action.arguments = {"note": CANARY}
                action.info = CANARY
            for assertion in task.evaluation_criteria.env_assertions or []:
                assertion.message = CANARY
        return loaded
