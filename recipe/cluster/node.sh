#!/usr/bin/env bash
# What recipe/cluster/slurm.sh starts on each node: a judge on loopback, unless one runs elsewhere, and Ray.
# Ends when either of them ends.
set -euo pipefail

say() { echo "node $(hostname): $*" >&2; }
[ ! -d .venv ] || PATH=$PWD/.venv/bin:$PATH

children=()
trap 'kill -TERM "${children[@]}" 2>/dev/null || true' EXIT
trap 'exit 143' TERM INT

if [ -n "${CLEARTRACE_JUDGE_PORT:-}" ]; then
    # As the judge that a run starts for itself: shorter than the service's own limit.
    export MAX_EXECUTION_TIME=${MAX_EXECUTION_TIME:-4}
    code-judge serve --port "$CLEARTRACE_JUDGE_PORT" --workers "${CLEARTRACE_JUDGE_SLOTS:-8}" &
    children+=($!)
fi

mkdir -p "$RAY_TMPDIR"
# No word of telemetry, and no dashboard: it would listen on all interfaces of a shared network.
export RAY_USAGE_STATS_ENABLED=0
# shellcheck disable=SC2206  # several words on purpose
start=(ray start --block ${CLEARTRACE_RAY_ARGS:-})
if [ "${SLURMD_NODENAME:-}" = "$CLEARTRACE_HEAD_NODE" ]; then
    env -u RAY_ADDRESS "${start[@]}" --head --node-ip-address="$CLEARTRACE_HEAD_ADDRESS" --port="${RAY_ADDRESS##*:}" \
        --include-dashboard=false &
else
    until ray health-check --address "$RAY_ADDRESS" >/dev/null 2>&1; do sleep 2; done
    "${start[@]}" --address="$RAY_ADDRESS" &
fi
children+=($!)

status=0
wait -n "${children[@]}" || status=$?
say "the judge or Ray has ended with status $status, so the job ends"
exit "$((status ? status : 1))"
