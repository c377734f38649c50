#!/usr/bin/env bash
# What recipe/cluster/slurm.sh starts once, on the head node: waits for Ray's nodes and the judge, then trains.
#   recipe/cluster/driver.sh [script.sh] [key=value ...]
set -euo pipefail

say() { echo "driver: $*" >&2; }
[ ! -d .venv ] || PATH=$PWD/.venv/bin:$PATH

# Seconds for all nodes to come up: containers may have to be fetched first.
WAIT_S=${CLEARTRACE_WAIT_S:-900}

script=recipe/cleaner/qwen3_4b_cleaner.sh
defaults=(scale=cluster)
if [[ "${1:-}" == *.sh ]]; then
    script=$1
    defaults=()
    shift
fi

wait_for() {
    local what=$1 end=$((SECONDS + WAIT_S))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$end" ] || { say "no $what within $WAIT_S s; see the log of the nodes above"; exit 1; }
        sleep 2
    done
}

# shellcheck disable=SC2329  # wait_for calls it
all_nodes_are_here() {
    python3 -c 'import ray, sys
ray.init(address="auto", log_to_driver=False, logging_level="ERROR")
sys.exit(sum(node["Alive"] for node in ray.nodes()) < int(sys.argv[1]))' "$SLURM_JOB_NUM_NODES"
}

# shellcheck disable=SC2329
judge_answers() {
    python3 -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1] + "/ping", timeout=5)' \
        "$CLEARTRACE_JUDGE_URL"
}

wait_for "Ray at $RAY_ADDRESS" ray health-check --address "$RAY_ADDRESS"
wait_for "$SLURM_JOB_NUM_NODES Ray nodes" all_nodes_are_here
wait_for "judge at $CLEARTRACE_JUDGE_URL" judge_answers
say "all there; starting $script"
training=
# SIGINT: at SIGTERM, Ray's own handler aborts a driver before it has let go. SIGTERM only to one that has not begun.
# shellcheck disable=SC2329  # the trap calls it
stop() {
    say "stopping the training"
    kill -INT "$training" 2>/dev/null || true
    # Its output is closed, because Slurm waits for whoever holds that of the step.
    (for _ in {1..120}; do sleep 1; kill -0 "$training" || exit 0; done; kill -TERM "$training") >/dev/null 2>&1 &
}
trap stop USR1 TERM
# Slurm signals every process of a step: the training shall hear of it from here alone.
(trap '' USR1; exec bash "$script" "${defaults[@]}" "$@" trainer.nnodes="$SLURM_JOB_NUM_NODES" \
    ray_kwargs.ray_init.address=auto cleartrace.judge.url="$CLEARTRACE_JUDGE_URL") &
training=$!

# A trapped signal ends `wait` before the training has ended; the last `wait` gives the training's own status.
while kill -0 "$training" 2>/dev/null; do wait "$training" || true; done
wait "$training"
