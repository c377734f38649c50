# shellcheck shell=bash
# The pins of the trainer images: as lock.sh would write them, and to be had for the image's Python and system.

pins() {
    PATH="$TOOLS/bin:$PATH" bash docker/trainer/lock.sh
    git diff --exit-code --stat -- docker/trainer/requirements-*.txt || { say "lock.sh changed them: commit that"; return 1; }
    local engine
    for engine in sglang vllm; do
        say "each pin of $engine has a file"
        "$TOOLS/bin/uv" pip install --quiet --dry-run --no-deps --python-version 3.12 \
            --python-platform x86_64-manylinux_2_35 --target "$CACHE/none" -r "docker/trainer/requirements-$engine.txt"
    done
}
