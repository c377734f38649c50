#!/usr/bin/env bash
# The baseline DA-SFT: supervised training on the pairs of an experiment. One node, four GPUs.
#   bash recipe/contextrl/da_sft.sh EXPERIMENT [--dry-run] [key=value ...]
# EXPERIMENT: agentic_klear, agentic_qwen3_8b, mm_qwen25vl_7b or mm_qwen3vl_8b. The second half is GRPO from its checkpoint:
#   bash recipe/contextrl/qwen3_8b.sh overlay=rl_matched actor_rollout_ref.model.path=runs/agentic_qwen3_8b_da_sft/...
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
[ -x .venv/bin/python ] && PYTHON=.venv/bin/python
experiment=${1:?name an experiment, e.g. agentic_qwen3_8b}
shift
exec "${PYTHON:-python3}" -m cleartrace_verl.sft --recipe recipe/contextrl/sft "experiment=$experiment" "$@"
