#!/usr/bin/env bash
# Everything a submission must pass: setup, ruff, pyright, pytest. Extra arguments go to pytest.
# Every check runs even when an earlier one failed; the exit status says whether all passed.
# Without arguments most tests run beside the other checks and those of the judge, which mostly wait. Whatever opens
# sandboxes of its own runs among the latter: they count what a machine has of processes, cgroups and files.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} OMP_WAIT_POLICY=PASSIVE
export HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false PYTHONUNBUFFERED=1

bash scripts/setup.sh || exit 1
failed=()
check() {
    local name=$1
    shift
    echo "== $name"
    "$@" || failed+=("$name")
}

suite=(.venv/bin/python -m pytest -m "not slow" --durations=10)
sandboxed=(tests/code_judge tests/tools/shell tests/verl/test_swe_loop.py)
if [ $# -eq 0 ]; then
    others=$(mktemp)
    trap 'rm -f "$others"' EXIT
    nice -n 5 "${suite[@]}" "${sandboxed[@]/#/--ignore=}" -p no:cacheprovider >"$others" 2>&1 &
    pid=$!
fi

check "ruff" .venv/bin/python -m ruff check .
check "pyright" .venv/bin/python -m pyright
if [ $# -gt 0 ]; then
    check "pytest" "${suite[@]}" "$@"
else
    check "pytest of sandboxes" "${suite[@]}" "${sandboxed[@]}"
    wait $pid
    status=$?
    cat "$others"
    [ $status -eq 0 ] || failed+=("pytest, all but sandboxes")
fi

if [ ${#failed[@]} -gt 0 ]; then
    echo "failed: ${failed[*]}" >&2
    exit 1
fi
