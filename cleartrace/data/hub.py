"""The published data sets: where they are, which columns they must have, and how a copy gets here."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cleartrace.data.files import file_sha256, open_parquet, require_columns, whole_file
from cleartrace.data.names import PublishedSet

NOTE_SUFFIX = ".source.json"


class FetchError(RuntimeError):
    """A file could not be brought here; the text says what to do."""


@dataclass(frozen=True)
class HubFile:
    """One parquet file of a Hugging Face data set. `prepare`: the rest of the command that makes its prompts."""

    repo: str
    path: str
    columns: tuple[str, ...]
    prepare: str = ""


_CHAT = ("data_source", "prompt", "reward_model")
_EVAL = "Gen-Verse/Open-AgentRL-Eval"
FILES: dict[PublishedSet, HubFile] = {
    PublishedSet.TRAIN_30K: HubFile(
        "Gen-Verse/Open-AgentRL-30K",
        "Open-AgentRL-30K.parquet",
        (*_CHAT, "ability", "extra_info"),
        "--profile prewrapped {file} data/Open-AgentRL-30K.parquet",
    ),
    PublishedSet.SFT_3K: HubFile(
        "Gen-Verse/Open-AgentRL-SFT-3K", "full_sft_3k_shuffled_v4.parquet", ("messages", "tools")
    ),
    PublishedSet.AIME_2024: HubFile(
        _EVAL,
        "aime2024/aime_2024_problems.parquet",
        ("data_source", "Problem", "Answer"),
        "--profile aime --arms both {file} data/aime24.parquet",
    ),
    PublishedSet.AIME_2025: HubFile(
        _EVAL,
        "aime2025/aime_2025_problems.parquet",
        ("data_source", "problem", "answer"),
        "--profile aime --arms both {file} data/aime25.parquet",
    ),
    PublishedSet.GPQA: HubFile(
        _EVAL,
        "gpqa-diamond/gpqa_diamond.parquet",
        ("data_source", "problem", "solution", "domain"),
        "--profile gpqa --arms both {file} data/gpqa.parquet",
    ),
    PublishedSet.LCB: HubFile(
        _EVAL,
        "livecodebench-v6/lcb_v6_2502_2505.parquet",
        ("data_source", "problem", "reward_model", "question_id"),
        "--profile lcb --arms both {file} data/lcb.parquet",
    ),
}


@dataclass(frozen=True)
class Fetched:
    """A file that is here and has its columns. `new`: this call brought it."""

    path: Path
    rows: int
    new: bool


def fetch(
    file: HubFile, folder: Path, *, revision: str = "main", copy_from: Path | None = None, force: bool = False
) -> Fetched:
    """Bring a file to `folder`, under its path in the repository; it appears only when its columns are right.

    A note beside it holds the repository, the commit and the SHA-256. A file that is there is kept unless `force`.
    `copy_from`: a folder to copy from in place of the hub. The hub's address and token are read by huggingface_hub
    from `HF_ENDPOINT` and `HF_TOKEN`. Errors: `FetchError`, `DataError` for a file with other columns.
    """
    target = folder / file.path
    if target.exists() and not force:
        return Fetched(target, _checked_rows(target, file), new=False)
    with whole_file(target) as partial:
        commit = _copy(file, copy_from, partial) if copy_from else _download(file, folder, revision, partial)
        rows = _checked_rows(partial, file)
        note = {**asdict(file), "commit": commit, "sha256": file_sha256(partial), "bytes": partial.stat().st_size}
    _write_note(target, note)
    return Fetched(target, rows, new=True)


def _checked_rows(path: Path, file: HubFile) -> int:
    opened = open_parquet(path)
    require_columns(path, opened.schema_arrow.names, file.columns)
    return opened.metadata.num_rows


def _copy(file: HubFile, folder: Path, partial: Path) -> str:
    candidates = [folder / file.path, folder / Path(file.path).name]
    found = next((path for path in candidates if path.is_file()), None)
    if found is None:
        raise FetchError(f"There is neither {candidates[0]} nor {candidates[1]}.")
    shutil.copyfile(found, partial)
    return ""


def _download(file: HubFile, folder: Path, revision: str, partial: Path) -> str:
    """Download by huggingface_hub, which resumes what it finds in `folder/.fetch`; returns the commit."""
    try:
        import huggingface_hub as hub
        from huggingface_hub import constants, errors
    except ImportError:
        raise FetchError("huggingface_hub is not installed: pip install huggingface_hub") from None
    import httpx

    staging = folder / ".fetch" / file.repo.replace("/", "--")
    endpoint = os.environ.get("HF_ENDPOINT") or constants.ENDPOINT
    try:
        api = hub.HfApi(endpoint=endpoint)
        info = api.dataset_info(file.repo, revision=revision)
        names = [entry.rfilename for entry in info.siblings or []]
        if file.path not in names:
            shown = ", ".join(name for name in names if name.endswith(".parquet")) or "none"
            raise FetchError(f"{file.repo} at {revision} has no {file.path}; its parquet files: {shown}.")
        commit = str(info.sha)
        got = api.hf_hub_download(file.repo, file.path, repo_type="dataset", revision=commit, local_dir=staging)
        os.replace(got, partial)
    except (errors.GatedRepoError, errors.RepositoryNotFoundError) as error:
        raise FetchError(
            f"{endpoint} does not show {file.repo} ({_first_line(error)}). Where it is gated, accept its "
            "terms in a browser and set HF_TOKEN to a token that may read it."
        ) from None
    except errors.RevisionNotFoundError:
        raise FetchError(f"{file.repo} has no revision {revision!r}.") from None
    except (errors.OfflineModeIsEnabled, errors.HfHubHTTPError, httpx.HTTPError, OSError) as error:
        raise FetchError(_unreachable(file, folder, endpoint, error)) from None
    shutil.rmtree(staging, ignore_errors=True)
    with contextlib.suppress(OSError):
        # Another set may be on its way there.
        staging.parent.rmdir()
    return commit


def _unreachable(file: HubFile, folder: Path, endpoint: str, error: Exception) -> str:
    offline = "HF_HUB_OFFLINE is set" if os.environ.get("HF_HUB_OFFLINE") else _first_line(error)
    return (
        f"{file.path} of {file.repo} could not be fetched from {endpoint}: {offline}.\n"
        "Offline? On a machine that reaches the hub:\n"
        f"  hf download {file.repo} {file.path} --repo-type dataset --local-dir fetched\n"
        f"Copy the folder `fetched` here and add `--from fetched`, or put the file at {folder / file.path} yourself.\n"
        "Behind a mirror, set HF_ENDPOINT to its address."
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _write_note(target: Path, note: dict[str, Any]) -> None:
    kept = {key: note[key] for key in ("repo", "path", "commit", "sha256", "bytes")}
    with whole_file(target.with_name(target.name + NOTE_SUFFIX)) as partial:
        partial.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
