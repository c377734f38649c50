#!/usr/bin/env bash
# One training over the nodes of a Slurm job. Submit from the repository's root, on storage that all nodes share:
#   sbatch --nodes=4 recipe/cluster/slurm.sh [script.sh] [key=value ...]
# Without a script: recipe/cleaner/qwen3_4b_cleaner.sh scale=cluster. The same line resumes a run that was ended.
#
#   CODE_JUDGE_TOKEN_FILE   file with the judge's token; or CODE_JUDGE_TOKEN itself. Without: one of this job's own.
#   CLEARTRACE_JUDGE_URL    a judge that runs elsewhere. Without: one on each node, on loopback.
#   CLEARTRACE_JUDGE_SLOTS  programs at a time on each node's judge (default: 8)
#   CLEARTRACE_SRUN_ARGS    for every srun, e.g. "--container-image=... --container-mounts=..." (Pyxis)
#   CLEARTRACE_RAY_ARGS     for every `ray start`, e.g. "--num-cpus=64"
#   CLEARTRACE_HEAD_ADDRESS address of the first node in the network that the nodes share (default: as its name resolves)
#SBATCH --job-name=cleartrace
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --exclusive
#SBATCH --time=24:00:00
#SBATCH --output=slurm-%j.log
#SBATCH --open-mode=append
# When the time or the node is taken away: stop, leave the checkpoints, and queue again.
#SBATCH --requeue
#SBATCH --signal=B:USR1@300
set -euo pipefail

say() { echo "slurm: $*" >&2; }
die() { say "$*"; exit 2; }

[ -n "${SLURM_JOB_ID:-}" ] || die "submit this with sbatch, from the repository's root"
[ -f recipe/cluster/node.sh ] || die "submit this from the repository's root, not from $PWD"

new_token() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

if [ -n "${CODE_JUDGE_TOKEN_FILE:-}" ]; then
    [ -s "$CODE_JUDGE_TOKEN_FILE" ] || die "cannot read CODE_JUDGE_TOKEN_FILE=$CODE_JUDGE_TOKEN_FILE"
    CODE_JUDGE_TOKEN=$(<"$CODE_JUDGE_TOKEN_FILE")
elif [ -z "${CODE_JUDGE_TOKEN:-}" ]; then
    [ -z "${CLEARTRACE_JUDGE_URL:-}" ] || die "CLEARTRACE_JUDGE_URL needs CODE_JUDGE_TOKEN_FILE or CODE_JUDGE_TOKEN"
    CODE_JUDGE_TOKEN=$(new_token)
fi
# Who reaches Ray's port runs any program as this user, so only this job's processes get in.
RAY_AUTH_TOKEN=$(new_token)
export CODE_JUDGE_TOKEN RAY_AUTH_TOKEN RAY_AUTH_MODE=token

# Ports below those that the kernel and Ray's workers take, different for jobs that share a node.
ray_port=$((20000 + SLURM_JOB_ID % 5000))
if [ -z "${CLEARTRACE_JUDGE_URL:-}" ]; then
    export CLEARTRACE_JUDGE_PORT=$((25000 + SLURM_JOB_ID % 5000))
    CLEARTRACE_JUDGE_URL=http://127.0.0.1:$CLEARTRACE_JUDGE_PORT
fi
# Ray's workers have the environment of the node's `ray start`, so every node learns the judge's address from here.
export CLEARTRACE_JUDGE_URL

# A folder of its own: in the common one, `ray start` writes an address that every later ray.init() on the node joins.
# Short, because the names of sockets in it may have 107 characters.
export RAY_TMPDIR=${RAY_TMPDIR:-/tmp/cleartrace-$SLURM_JOB_ID}

# shellcheck disable=SC2206  # several words on purpose
srun_args=(--kill-on-bad-exit=1 --ntasks-per-node=1 ${CLEARTRACE_SRUN_ARGS:-})
head_node=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
head_address=${CLEARTRACE_HEAD_ADDRESS:-$(getent ahostsv4 "$head_node" | awk 'NR == 1 {print $1}')}
if [[ "$SLURM_JOB_NUM_NODES" -gt 1 && "$head_address" == 127.* ]]; then
    head_address=$(hostname -I | cut -d ' ' -f 1)  # its own hosts file says loopback; this script runs on that node
fi
[ -n "$head_address" ] || die "no IPv4 address of $head_node: set CLEARTRACE_HEAD_ADDRESS"
export RAY_ADDRESS=$head_address:$ray_port CLEARTRACE_HEAD_NODE=$head_node CLEARTRACE_HEAD_ADDRESS=$head_address

say "Ray at $RAY_ADDRESS on $SLURM_JOB_NUM_NODES node(s), judge at $CLEARTRACE_JUDGE_URL"
srun "${srun_args[@]}" --nodes="$SLURM_JOB_NUM_NODES" bash recipe/cluster/node.sh &
nodes=$!
srun "${srun_args[@]}" --overlap --nodes=1 --ntasks=1 --nodelist="$head_node" bash recipe/cluster/driver.sh "$@" &
driver=$!

# At SIGTERM srun kills what it has started within seconds. SIGUSR1 it hands on, and driver.sh stops the training.
requeue=false
trap 'say "the time is nearly over"; requeue=true; kill -USR1 "$driver" 2>/dev/null || true' USR1
trap 'say "asked to stop"; kill -USR1 "$driver" 2>/dev/null || true' TERM INT

# A trapped signal ends `wait` before a process has ended. Whichever ends first ends the job: it cannot do without a node.
while kill -0 "$driver" 2>/dev/null && kill -0 "$nodes" 2>/dev/null; do wait -n "$driver" "$nodes" || true; done
status=0
if kill -0 "$driver" 2>/dev/null; then
    say "a node has ended before the training, so the job ends"
    status=1
else
    wait "$driver" || status=$?
fi
kill -TERM "$driver" "$nodes" 2>/dev/null || true
wait || true

if $requeue; then
    say "queued again; the run goes on from its last checkpoint"
    exec scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
