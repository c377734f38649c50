"""GRPO of a context augmentation model with its reward service in the same process.

    python -m recipe.clear.grpo ENV --store DIR [--agent name=value ...] [--rule name=value ...] -- [trainer arguments]

The arguments after -- are those of `cleartrace train`. A service that runs elsewhere needs no such start: export its
address and use `cleartrace train` itself.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from cleartrace.agents.workplace import AgentConfig, WorkplaceError
from cleartrace.learn.clear.reward.options import RewardRules
from cleartrace.learn.clear.reward.server import ServeOptions, serving

EXIT_CONFIG = 2
"""As the trainer's own."""


def parse(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    at = list(argv).index("--") if "--" in argv else len(argv)
    parser = argparse.ArgumentParser(prog="recipe.clear.grpo", description=__doc__)
    parser.add_argument("environment")
    parser.add_argument("--store", type=Path, required=True, help="runs of the agent; none is made twice")
    parser.add_argument("--agent", action="append", default=[], metavar="NAME=VALUE", help="settings of the agent")
    parser.add_argument("--rule", action="append", default=[], metavar="NAME=VALUE", help="settings of the reward")
    return parser.parse_args(argv[:at]), list(argv[at + 1 :])


def _values(pairs: Sequence[str]) -> dict[str, Any]:
    return {name: yaml.safe_load(text) for name, _, text in (pair.partition("=") for pair in pairs)}


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status of the trainer; 2 for settings that cannot be used."""
    args, rest = parse(sys.argv[1:] if argv is None else argv)
    try:
        config = AgentConfig.checked({"environment": args.environment, **_values(args.agent)})
        rules = RewardRules.model_validate(_values(args.rule))
        with serving(config, rules, ServeOptions(args.store)):
            from cleartrace_verl.main import main as train

            return train(rest)
    except (WorkplaceError, ValueError) as error:
        print(f"Cannot start: {error}", file=sys.stderr)
        return EXIT_CONFIG


if __name__ == "__main__":
    sys.exit(main())
