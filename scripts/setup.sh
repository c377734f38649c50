#!/usr/bin/env bash
# Makes .venv ready: pinned requirements, then this repository in editable mode. Does nothing when nothing changed.
# Never touches the system Python. Safe when two run at once.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

TORCH_CPU_INDEX=https://download.pytorch.org/whl/cpu
VENV=.venv
STAMP=$VENV/.setup-stamp
LOG=$VENV/setup.log

say() { echo "setup: $*" >&2; }
die() { say "$*"; exit 1; }

fingerprint() {
    cat requirements.txt pyproject.toml code-judge/pyproject.toml cleartrace/environments/requirements/*.txt |
        sha256sum | cut -d' ' -f1
}

# A version manager's shim exists without working, so a candidate counts only once it has answered.
find_python() {
    local candidate
    for candidate in ${PYTHON:+"$PYTHON"} python3.11 python3.12 python3.10 python3 \
        "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[012].*/bin/python; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' \
            >/dev/null 2>&1; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

torch_index() {
    command -v nvidia-smi >/dev/null && return
    if command -v curl >/dev/null && curl --silent --fail --head --max-time 3 "$TORCH_CPU_INDEX/torch/" >/dev/null; then
        echo "--extra-index-url $TORCH_CPU_INDEX"
    fi
}

run_pip() {
    local phase=$1
    shift
    say "$phase"
    if ! "$VENV/bin/python" -m pip --disable-pip-version-check "$@" >"$LOG" 2>&1; then
        cat "$LOG" >&2
        die "failed while: $phase (pip's output is above and in $LOG)"
    fi
}

mkdir -p "$VENV"
exec 9>"$VENV/.setup-lock"
if ! flock --nonblock 9; then
    say "waiting for another setup of this folder"
    flock 9
fi

want=$(fingerprint)
if [ -x "$VENV/bin/python" ] && [ "$(cat "$STAMP" 2>/dev/null)" = "$want" ]; then
    exit 0
fi

if ! "$VENV/bin/python" -m pip --version >/dev/null 2>&1; then
    python=$(find_python) || die "no Python 3.10, 3.11 or 3.12 with venv found; install one" \
        "(Debian/Ubuntu: apt-get install python3 python3-venv; or pyenv install 3.11) or set PYTHON=/path/to/python"
    say "creating $VENV with $("$python" --version)"
    "$python" -m venv "$VENV" >"$LOG" 2>&1 || { cat "$LOG" >&2; die "$python -m venv failed"; }
fi

rm -f "$STAMP"
# shellcheck disable=SC2046  # the option and its value are two words on purpose
run_pip "installing requirements.txt (some minutes the first time)" install $(torch_index) -r requirements.txt
# Plain paths: the import hook of the default mode would cost every Python start, so every tool call, 14 ms. This
# mode knows one source folder per distribution, so the second one is named beside it.
run_pip "installing cleartrace and code-judge in editable mode" install --no-deps \
    --config-settings editable_mode=compat -e ./code-judge -e .
site=$("$VENV/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
echo "$PWD/verl" >"$site/cleartrace_verl_source.pth"
# Their packages pin versions that clash with ours and with each other: each gets a folder of its own.
# Without them their tests skip, and say so; a registry that lacks one of them stops nothing else.
say "installing the packages of environments"
install_environment() {
    "$VENV/bin/python" -m cleartrace.cli environments install "$1" --into "$VENV/environments" >>"$LOG" 2>&1 ||
        say "the environment $1 is not installed (see $LOG); later: cleartrace environments install $1"
}
for listed in cleartrace/environments/requirements/*.txt; do
    install_environment "$(basename "$listed" .txt)" &
done
wait
echo "$want" >"$STAMP"
say "ready: source $VENV/bin/activate"
