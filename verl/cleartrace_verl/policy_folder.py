"""Saved policies that load anywhere."""

from __future__ import annotations

import json
from pathlib import Path

from cleartrace.data.files import write_json

KEY = "attn_implementation"


def make_portable(folder: Path) -> bool:
    """Take the attention of a CPU run out of a Hugging Face folder's `config.json`; True when it stood there.

    veRL saves `model.override_config` with the model, and plain transformers refuses a name that only cleartrace
    registers (`packed_sdpa`). Written atomically; a folder without that name is left as it is.
    """
    from cleartrace_verl.packed_attention import NAME

    path = folder / "config.json"
    if not path.is_file():
        return False
    config = json.loads(path.read_text())
    if config.get(KEY) != NAME:
        return False
    del config[KEY]
    write_json(path, config)
    return True
