"""What a client of the hub will ask next, from what it asks now and the tree of the commit. Pure.

Guesses are worth a transfer only when they are nearly sure: a loader that read the index of a model
in shards reads the shards, in order; who lists a tree fetches the small files. Nothing is guessed from
HEAD requests (a client with a warm cache sends those alone), from the middle of a file, for
clients that are not known (curl), nor between formats: who asks for safetensors gets no bin."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import dropwhile, islice
from urllib.parse import quote

from edgeproxy.sites.site import Upcoming

ENTRIES_MAX = 20_000  # entries of a tree looked at for one guess
USER_AGENT_MAX = 1024


@dataclass(frozen=True, slots=True)
class PrefetchSettings:
    """Bounds on one guess: bytes and files in all, and what counts as a small file, in bytes."""

    bytes_max: int = 64 << 30
    files_max: int = 128
    small_bytes_max: int = 32 << 20


class ClientKind(StrEnum):
    """What a client is, as far as it tells what comes next."""

    TRANSFORMERS = "transformers"
    DIFFUSERS = "diffusers"
    DATASETS = "datasets"
    LLAMA = "llama"
    HUB = "hub"  # the hub's own library, by itself or under something else
    OTHER = "other"


class Asked(StrEnum):
    INFO = "info"
    TREE = "tree"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Ask:
    """A request for something of a commit. `api` is the segment of the API ("models", "datasets",
    "spaces"), `path` decoded, `range_field` the Range field or ""."""

    asked: Asked
    api: str
    repository: str
    commit: str
    path: str = ""
    method: str = "GET"
    user_agent: str = ""
    range_field: str = ""

    @property
    def group(self) -> str:
        return f"{self.api}/{self.repository}@{self.commit}"

    def target(self, path: str) -> str:
        """The raw target of a file of this commit below the mount."""
        prefix = "" if self.api == "models" else f"{self.api}/"
        return f"/{prefix}{self.repository}/resolve/{self.commit}/{quote(path, safe='/')}"

    @property
    def tree_target(self) -> str:
        return f"/api/{self.api}/{self.repository}/tree/{self.commit}?recursive=true&expand=false"


# The first that is found in the user agent; the hub's own library stands beside what uses it.
_KINDS = (
    (ClientKind.LLAMA, re.compile(r"\bllama[-_.]?cpp\b")),
    (ClientKind.DIFFUSERS, re.compile(r"\bdiffusers/")),
    (ClientKind.TRANSFORMERS, re.compile(r"\b(?:sentence[-_])?transformers/")),
    (ClientKind.DATASETS, re.compile(r"\bdatasets/")),
    (ClientKind.HUB, re.compile(r"\bhf[-_]hub/")),
)

_RANGE = re.compile(r"bytes=(?:0+-[0-9]*|[0-9]+-)", re.ASCII)
_INDEX = re.compile(
    r"(?P<stem>.+)\.(?P<format>safetensors|bin|h5|msgpack)\.index(?:\.(?P<variant>[A-Za-z0-9_-]+))?\.json"
)
_SHARD = re.compile(
    r"(?P<head>.+)-(?P<number>[0-9]{5})-of-(?P<total>[0-9]{5})(?P<tail>\.[A-Za-z0-9._-]{1,64})", re.ASCII
)
_COMPONENT = re.compile(
    r"(?P<folder>[^/]+)/(?:diffusion_pytorch_model|pytorch_model|model)(?P<variant>\.[A-Za-z0-9_]+)?"
    r"(?P<shard>-[0-9]{5}-of-[0-9]{5})?(?P<tail>(?:\.[A-Za-z0-9_]+)?\.(?:safetensors|bin))",
    re.ASCII,
)

# What begins a loader's walk through a repository.
_FIRST = frozenset(
    {
        "config.json",
        "model_index.json",
        "tokenizer_config.json",
        "processor_config.json",
        "preprocessor_config.json",
        "adapter_config.json",
        "modules.json",
    }
)
# In the order in which loaders ask; what is not named comes after these.
_ORDER = (
    "config.json",
    "generation_config.json",
    "tokenizer_config.json",
    "tokenizer.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "preprocessor_config.json",
    "processor_config.json",
)
_RANK = {name: rank for rank, name in enumerate(_ORDER)}
_LOADER_SUFFIXES = (".json", ".txt", ".model", ".jinja", ".tiktoken", ".spm", ".py", ".bpe")
_BULK_SUFFIXES = (
    *(".safetensors", ".bin", ".gguf", ".ggml", ".onnx", ".onnx_data", ".onnx.data", ".pt", ".pth", ".ckpt"),
    *(".msgpack", ".h5", ".ot", ".tflite", ".npz", ".npy", ".pkl", ".pb", ".mlmodel", ".weight", ".engine"),
    *(".parquet", ".arrow", ".tar", ".gz", ".zst", ".zip", ".7z", ".xz", ".bz2"),
    *(".jsonl", ".csv", ".tsv", ".mp4", ".wav", ".flac", ".mp3", ".jpg", ".jpeg", ".png", ".gif", ".webp"),
)


def client_kind(user_agent: str) -> ClientKind:
    text = user_agent[:USER_AGENT_MAX].lower()
    return next((kind for kind, pattern in _KINDS if pattern.search(text)), ClientKind.OTHER)


def upcoming(ask: Ask, tree: Mapping[str, int], settings: PrefetchSettings) -> Upcoming | None:
    """What to fetch ahead after `ask`; None when nothing is nearly sure. `tree` gives the size in bytes
    of each file of the commit by its path, in the hub's order; empty while it is not known."""
    kind = client_kind(ask.user_agent)
    if kind is ClientKind.OTHER or ask.method != "GET":
        return None
    if ask.asked is Asked.INFO:
        return Upcoming(ask.group, (ask.tree_target,))
    if ask.asked is Asked.TREE:
        lists = kind in (ClientKind.HUB, ClientKind.DIFFUSERS)
        paths = _small_files(tree, settings) if lists else iter(())
    elif ask.path in tree and _is_begun(ask, kind):
        paths = _after_file(kind, ask.path, tree, settings)
    else:
        return None
    chosen = tuple(ask.target(path) for path in _bounded(paths, tree, settings))
    return Upcoming(ask.group, chosen) if chosen else None


def _is_begun(ask: Ask, kind: ClientKind) -> bool:
    """Whether this may be the beginning of taking the whole file; data sets are streamed by ranges."""
    if not ask.range_field:
        return True
    return kind is not ClientKind.DATASETS and _RANGE.fullmatch(ask.range_field) is not None


def _bounded(paths: Iterable[str], tree: Mapping[str, int], settings: PrefetchSettings) -> Iterator[str]:
    """As many as may be, in order; the first that does not fit ends it."""
    left = settings.bytes_max
    for path in islice(dict.fromkeys(paths), settings.files_max):
        left -= max(0, tree[path])
        if left < 0:
            return
        yield path


def _after_file(
    kind: ClientKind, path: str, tree: Mapping[str, int], settings: PrefetchSettings
) -> Iterator[str]:
    folder, _, name = path.rpartition("/")
    if (index := _INDEX.fullmatch(name)) is not None:
        yield from _shards_of_index(f"{folder}/" if folder else "", index, tree)
    elif name in _FIRST and kind is not ClientKind.DATASETS:
        yield from _companions(folder, path, tree, settings, nested=name == "model_index.json")
    else:
        yield from _following_shards(path, tree)
        if kind is ClientKind.DIFFUSERS:
            yield from _other_components(path, tree)
        elif kind is ClientKind.LLAMA:
            yield from _projector(folder, path, tree)
        elif name.endswith(".onnx"):
            yield from (data for data in (f"{path}_data", f"{path}.data") if data in tree)


def _following_shards(path: str, tree: Mapping[str, int]) -> Iterator[str]:
    """The rest of a set of files numbered like a-00002-of-00007.x; a gap ends it."""
    found = _SHARD.fullmatch(path)
    if found is None:
        return
    for number in range(int(found["number"]) + 1, int(found["total"]) + 1):
        following = f"{found['head']}-{number:05d}-of-{found['total']}{found['tail']}"
        if following not in tree:
            return
        yield following


def _shards_of_index(folder: str, index: re.Match[str], tree: Mapping[str, int]) -> Iterator[str]:
    """The shards an index stands for, if the tree holds just one whole set of them. The variant stands
    before the number, or after it in older repositories."""
    variant = re.escape(f".{index['variant']}") if index["variant"] else ""
    stem = re.escape(folder + index["stem"])
    number = r"-(?P<number>[0-9]{5})-of-(?P<total>[0-9]{5})"
    shard = re.compile(
        rf"{stem}(?:{variant}{number}|{number.replace('number', 'n').replace('total', 't')}{variant})"
        rf"\.{index['format']}",
        re.ASCII,
    )
    sets: dict[tuple[bool, str], dict[int, str]] = {}
    for path in islice(tree, ENTRIES_MAX):
        found = shard.fullmatch(path)
        if found is not None:
            early = found["total"] is not None
            total, at = (found["total"], found["number"]) if early else (found["t"], found["n"])
            sets.setdefault((early, total), {})[int(at)] = path
    whole = [paths for (_, total), paths in sets.items() if sorted(paths) == [*range(1, int(total) + 1)]]
    if len(whole) == 1:
        yield from (whole[0][number] for number in sorted(whole[0]))


def _companions(
    folder: str, asked: str, tree: Mapping[str, int], settings: PrefetchSettings, *, nested: bool
) -> Iterator[str]:
    """What a loader reads beside its first file: small text files of the same folder, of a pipeline's
    components as well if `nested`."""
    prefix = f"{folder}/" if folder else ""
    depth = prefix.count("/")
    found = []
    for path in islice(tree, ENTRIES_MAX):
        if not path.startswith(prefix) or path == asked or not path.endswith(_LOADER_SUFFIXES):
            continue
        below = path.count("/") - depth
        if below > (1 if nested else 0) or tree[path] > settings.small_bytes_max:
            continue
        name = path.rpartition("/")[2]
        index = _INDEX.fullmatch(name)
        if index is None or index["format"] == "safetensors":
            found.append((below, _RANK.get(name, len(_RANK)), path))
    yield from (path for _, _, path in sorted(found))


def _small_files(tree: Mapping[str, int], settings: PrefetchSettings) -> Iterator[str]:
    """Every small file that is neither weights nor data, in the order of the tree."""
    for path in islice(tree, ENTRIES_MAX):
        if tree[path] <= settings.small_bytes_max and not path.lower().endswith(_BULK_SUFFIXES):
            yield path


def _other_components(path: str, tree: Mapping[str, int]) -> Iterator[str]:
    """Weights of a pipeline's later components, in the same format and variant."""
    asked = _COMPONENT.fullmatch(path)
    if asked is None:
        return
    for other in dropwhile(lambda each: each != path, islice(tree, ENTRIES_MAX)):
        found = _COMPONENT.fullmatch(other)
        if found is None or found["folder"] == asked["folder"]:
            continue
        if (found["variant"], found["tail"]) == (asked["variant"], asked["tail"]):
            yield other


def _projector(folder: str, path: str, tree: Mapping[str, int]) -> Iterator[str]:
    """The picture encoder that belongs to a GGUF model, if there is just one to choose from."""
    prefix = f"{folder}/mmproj" if folder else "mmproj"
    if not path.endswith(".gguf") or path.startswith(prefix):
        return
    found = [p for p in islice(tree, ENTRIES_MAX) if p.startswith(prefix) and p.endswith(".gguf")]
    if len(found) == 1:
        yield found[0]
