#!/usr/bin/env bash
# Rewrites docker/trainer/requirements-{sglang,vllm}.txt: what released veRL pins for the engine, with FSDP, and what
# cleartrace needs. Pins of requirements.txt, and pins that still fit, are kept. Linux x86_64, Python 3.12.
# Usage: docker/trainer/lock.sh [package ...]    upgrades the named packages to their newest fitting version
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

command -v uv >/dev/null || { echo "lock: needs uv (pip install uv)" >&2; exit 1; }

flags=(--python-version 3.12 --python-platform x86_64-manylinux_2_35 --no-header --no-annotate)
flags+=(--override docker/trainer/overrides.txt --constraint docker/trainer/constraints.txt)
# Neither is on the package index as a wheel that fits: flash-attn comes from veRL's own index, the others from here.
for package in flash-attn cleartrace code-judge; do flags+=(--no-emit-package "$package"); done
for package in "$@"; do flags+=(--upgrade-package "$package"); done

verl=$(grep -oE '^verl==[^ ;]+' requirements.txt)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for engine in sglang vllm; do
    target=docker/trainer/requirements-$engine.txt
    { cat requirements.txt; [ ! -f "$target" ] || grep -v '^#' "$target"; } >"$work/pins"
    # Of two pins of one package, the engine's own (the later) is the one to keep.
    tac "$work/pins" | awk -F'[=; ]' '!/^#/ && NF && !seen[$1]++' >"$work/body"
    echo "verl[$engine,fsdp]==${verl#verl==}" >"$work/in"
    uv pip compile --quiet "${flags[@]}" --output-file "$work/body" "$work/in" pyproject.toml code-judge/pyproject.toml
    {
        echo "# The trainer image with $engine, pinned for Python 3.12 on Linux x86_64. flash-attn is installed apart."
        echo "# Written by docker/trainer/lock.sh. Do not edit."
        cat "$work/body"
    } >"$target"
    echo "lock: $(grep -c == "$target") pins in $target"
done
