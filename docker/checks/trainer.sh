# shellcheck shell=bash
# A trainer image as far as a machine without NVIDIA's base image goes: Debian with a Python 3.12 in its place, every
# step of docker/trainer/Dockerfile but two: flash-attn, which is on veRL's own index, and the copy of 10 GB from one stage
# to the next, which becomes the stage itself. Then a dry run in the container.

# The folder of an installed Python 3.12: PYTHON312, or what python3.12 says, or pyenv's.
python312() {
    local candidate
    for candidate in "${PYTHON312:-}/bin/python3.12" python3.12 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.12.*/bin/python3.12; do
        "$candidate" -c 'import sys; print(sys.base_prefix)' 2>/dev/null && return
    done
    say "needs a Python 3.12: set PYTHON312 to the folder it is installed in"
    return 1
}

trainer() {
    local engine=$1 image=localhost/cleartrace:$1 base=localhost/python:3.12-bookworm prefix
    need_container_tools
    prefix=$(python312)
    base_image "$base" ca-certificates,libbz2-1.0,libffi8,liblzma5,libreadline8,libsqlite3-0,libssl3,zlib1g "$prefix"
    sed -e '/flash-attn==/d' -e 's/^FROM base$/FROM build/' -e '/^COPY --from=build /d' docker/trainer/Dockerfile \
        >"$CACHE/Dockerfile.trainer"
    build "$CACHE/Dockerfile.trainer" "$image" "$base" --build-arg "ENGINE=$engine" \
        --ignorefile docker/trainer/Dockerfile.dockerignore
    say "the configuration of the default command, resolved in the container"
    podman_here run --rm "${CONFINED[@]}" --tmpfs /opt/home "$image" \
        bash recipe/cleaner/qwen3_4b_cleaner.sh --dry-run "actor_rollout_ref.rollout.name=$engine"
    podman_here images "$image"
}
