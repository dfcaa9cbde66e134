"""What a stand-in hub tells about a repository as a whole."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from stands.hub_repository import Commit, File, Repository

CREATED = "2022-03-02T23:29:04.000Z"
HEADER_BYTES_MAX = 25_000_000
_PARAMETER_BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I8": 1, "U8": 1, "BOOL": 1}
EXPANDABLE = (
    "author", "baseModels", "cardData", "childrenModelCount", "citation", "config", "createdAt",
    "description", "disabled", "downloads", "downloadsAllTime", "evalResults", "gated", "gguf", "inference",
    "inferenceProviderMapping", "lastModified", "library_name", "likes", "mask_token", "model-index",
    "paperswithcode_id", "pipeline_tag", "private", "resourceGroup", "runtime", "safetensors", "sdk",
    "securityRepoStatus", "sha", "siblings", "spaces", "subdomain", "tags", "transformersInfo",
    "trendingScore", "usedStorage", "widgetData", "xetEnabled",
)  # fmt: skip


def safetensors_header(file: File) -> dict[str, Any] | None:
    """The header of a safetensors file, None if it is none."""
    length = int.from_bytes(file.content.read(0, min(8, file.size)), "little")
    if not file.path.endswith(".safetensors") or not 1 < length <= min(HEADER_BYTES_MAX, file.size - 8):
        return None
    try:
        header = json.loads(file.content.read(8, 8 + length))
    except ValueError:
        return None
    return header if isinstance(header, dict) else None


def _sibling(file: File, with_blobs: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {"rfilename": file.path}
    if with_blobs:
        shown |= {"blobId": file.oid, "size": file.size}
        if file.large:
            sizes = {"size": file.size, "pointerSize": len(file.git_data)}
            shown["lfs"] = {"sha256": file.content.sha256, **sizes}
    return shown


def _config(commit: Commit) -> dict[str, Any]:
    try:
        whole = json.loads(commit.files["config.json"].git_data)
    except (KeyError, ValueError):
        return {}
    return {name: whole[name] for name in ("architectures", "model_type") if name in whole}


def _parameters(commit: Commit) -> dict[str, Any] | None:
    counts: dict[str, int] = {}
    for file in commit.files.values():
        for name, tensor in (safetensors_header(file) or {}).items():
            if name != "__metadata__":
                first, last = tensor["data_offsets"]
                kind = tensor["dtype"]
                counts[kind] = counts.get(kind, 0) + (last - first) // _PARAMETER_BYTES.get(kind, 1)
    return {"parameters": counts, "total": sum(counts.values())} if counts else None


def describe(
    repository: Repository, commit: Commit, with_blobs: bool, expand: Sequence[str]
) -> dict[str, Any]:
    """The info document of a repository at a commit; with `expand` only the fields it names."""
    document: dict[str, Any] = {
        "_id": repository.number,
        "id": repository.id,
        "author": repository.author,
        "sha": commit.sha,
        "lastModified": repository.head.date,
        "createdAt": CREATED,
        "private": repository.private,
        "gated": repository.gated,
        "disabled": repository.disabled,
        "downloads": 7,
        "likes": 3,
        "tags": ["region:us"],
        "cardData": repository.card,
        "usedStorage": sum(file.size for file in commit.files.values()),
        "siblings": [_sibling(commit.files[path], with_blobs) for path in sorted(commit.files)],
    }
    if repository.kind == "model":
        document |= {"modelId": repository.id, "config": _config(commit), "spaces": []}
        document |= {"library_name": "transformers", "pipeline_tag": "text-generation", "model-index": None}
        if parameters := _parameters(commit):
            document["safetensors"] = parameters
    if repository.kind == "dataset":
        document |= {"description": "", "citation": ""}
    if repository.kind == "space":
        document |= {"sdk": "static", "runtime": {"stage": "RUNNING"}}
    if expand:
        extra = {"xetEnabled": True, "downloadsAllTime": 7, "trendingScore": 0, **document}
        return {name: extra[name] for name in ("_id", "id", *expand) if name in extra}
    return document
