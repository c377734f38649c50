"""Where results lie: a folder, or buckets of S3. Two calls are all that is asked of either."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from cleartrace.agents.rollout_endpoint.types import Place
from cleartrace.data.files import whole_file

_MISSING = frozenset(("404", "NoSuchKey", "NotFound"))


class StoreFault(RuntimeError):
    """Results cannot be kept or read; says where and why."""


class ResultStore(Protocol):
    """Blocking; called in threads. Raises `StoreFault`."""

    def put(self, place: Place, content: bytes) -> None:
        """Whole or not at all, over what was there."""
        ...

    def get(self, place: Place) -> bytes | None: ...


class FolderStore:
    """`folder/bucket/key`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    def put(self, place: Place, content: bytes) -> None:
        try:
            with whole_file(self._path(place)) as partial:
                partial.write_bytes(content)
        except OSError as error:
            raise StoreFault(f"{self._folder}: {error}") from None

    def get(self, place: Place) -> bytes | None:
        try:
            return self._path(place).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        except OSError as error:
            raise StoreFault(f"{self._folder}: {error}") from None

    def _path(self, place: Place) -> Path:
        path = (self._folder / place.s3_bucket / place.result_key).resolve()
        if not path.is_relative_to(self._folder):
            raise StoreFault(f"{place.s3_bucket}/{place.result_key} leads out of the folder of results")
        return path


class S3Store:
    """Buckets of S3, or of anything that speaks its dialect.

    Args:
        client: of boto3; None makes one from the usual environment.
        bucket: the only one that may be used; None for any.
    """

    def __init__(self, client: Any = None, bucket: str | None = None) -> None:
        self._client, self._bucket = client or _client(), bucket

    def put(self, place: Place, content: bytes) -> None:
        self._check(place)
        try:
            self._client.put_object(
                Bucket=place.s3_bucket, Key=place.result_key, Body=content, ContentType="application/json"
            )
        except Exception as error:  # boto3 makes its error types at run time
            raise StoreFault(f"s3://{place.s3_bucket}: {type(error).__name__}: {error}") from None

    def get(self, place: Place) -> bytes | None:
        self._check(place)
        try:
            return self._client.get_object(Bucket=place.s3_bucket, Key=place.result_key)["Body"].read()
        except Exception as error:
            if getattr(error, "response", {}).get("Error", {}).get("Code") in _MISSING:
                return None
            raise StoreFault(f"s3://{place.s3_bucket}: {type(error).__name__}: {error}") from None

    def _check(self, place: Place) -> None:
        if self._bucket is not None and place.s3_bucket != self._bucket:
            raise StoreFault(f"results go to the bucket {self._bucket} alone, not to {place.s3_bucket}")


def _client() -> Any:
    try:
        import boto3  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise StoreFault(f"s3:// needs the package boto3 ({error}): pip install 'cleartrace[s3]'") from None
    return boto3.client("s3")


def open_store(address: str) -> ResultStore:
    """`file:///folder`, a path, `s3://BUCKET`, or `s3://` for the bucket that each request names.

    Raises: `StoreFault` without boto3; ValueError for another address.
    """
    scheme, slashes, rest = address.partition("://")
    if not slashes:
        return FolderStore(Path(address))
    if scheme == "file":
        return FolderStore(Path(unquote(urlsplit(address).path)))
    if scheme != "s3" or "/" in rest.strip("/"):
        raise ValueError(f"results go to a folder, file:///folder, s3://BUCKET or s3://, not to {address!r}")
    return S3Store(bucket=rest.strip("/") or None)
