#!/usr/bin/env bash
# The published sweep of lambda, one run after the other: 0.001, 0.005, 0.01.
#   bash recipe/contextrl/sweep_lambda.sh [EXPERIMENT] [--dry-run] [key=value ...]
# EXPERIMENT is agentic_klear unless given. Results go to runs/<experiment>_lambda_<value>/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
[ -x .venv/bin/python ] && PYTHON=.venv/bin/python
experiment=agentic_klear
if [ $# -gt 0 ] && [ -f "recipe/contextrl/experiment/$1.yaml" ]; then
    experiment=$1
    shift
fi
for coef in 0.001 0.005 0.01; do
    "${PYTHON:-python3}" -m cleartrace_verl.main --recipe recipe/contextrl "experiment=$experiment" \
        "cleartrace.run_dir=runs/${experiment}_lambda_$coef" "actor_rollout_ref.context_rl.coef=$coef" "$@"
done
