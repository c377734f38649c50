#!/usr/bin/env bash
# CLEAR, phase 2: GRPO of the model after SFT, each guidance scored by the agent. One node, eight GPUs.
#   bash recipe/clear/grpo_qwen3_32b.sh [--dry-run] [scale=node8] [key=value ...]
# Start `cleartrace clear reward-serve` first and export the address that it prints.
# --dry-run resolves and checks the configuration anywhere and says what this machine lacks.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
[ -x .venv/bin/python ] && PYTHON=.venv/bin/python
exec "${PYTHON:-python3}" -m cleartrace_verl.main --recipe recipe/clear experiment=qwen3_32b "$@"
