"""Files of models and data sets that real libraries can read, of any size and made at once."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

from stands.hub_content import Content, Pattern

_BYTES = {"F32": 4, "F16": 2, "BF16": 2, "U8": 1}
WORDS = ("<unk>", "<s>", "</s>", "the", "edge", "keeps", "a", "copy", "of", "every", "file", ".")


def safetensors(name: str, tensors: Mapping[str, tuple[str, Sequence[int]]]) -> Pattern:
    """A safetensors file of these tensors, {name: (type, shape)}; their values are a pattern."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    place = 0
    for tensor, (kind, shape) in tensors.items():
        end = place + _BYTES[kind] * math.prod(shape)
        header[tensor] = {"dtype": kind, "shape": list(shape), "data_offsets": [place, end]}
        place = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    front = len(text).to_bytes(8, "little") + text
    return Pattern(name, len(front) + place, front)


def shards(name: str, count: int, shard_bytes: int) -> dict[str, Content | bytes]:
    """`count` shards of about `shard_bytes` and their index, or one model.safetensors."""
    layers = {f"model.layers.{n}.mlp.weight": ("F16", [max(1, shard_bytes // 128), 64]) for n in range(count)}
    if count == 1:
        return {"model.safetensors": safetensors(name, layers)}
    files: dict[str, Content | bytes] = {}
    weight_map: dict[str, str] = {}
    for number, (layer, form) in enumerate(layers.items(), 1):
        shard = f"model-{number:05}-of-{count:05}.safetensors"
        files[shard] = safetensors(f"{name} {number}", {layer: form})
        weight_map[layer] = shard
    total = count * 128 * max(1, shard_bytes // 128)
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    files["model.safetensors.index.json"] = json.dumps(index, indent=2).encode()
    return files


def _tokenizer() -> dict[str, object]:
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    special = [{"id": n, "content": word, **plain} for n, word in enumerate(WORDS[:3])]
    model = {"type": "WordLevel", "vocab": {word: n for n, word in enumerate(WORDS)}, "unk_token": "<unk>"}
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": special, "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"}, "post_processor": None, "decoder": None, "model": model,
    }  # fmt: skip


def model_files(name: str, count: int = 2, shard_bytes: int = 1 << 20) -> dict[str, Content | bytes]:
    """A language model: README, configuration, tokenizer and `count` shards of weights."""
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 4, "vocab_size": len(WORDS),
        "intermediate_size": 128, "max_position_embeddings": 128, "bos_token_id": 1,
        "eos_token_id": 2, "torch_dtype": "float16",
    }  # fmt: skip
    tokens = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    tokenizer_config = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 128, **tokens}
    documents: dict[str, object] = {
        "config.json": config,
        "generation_config.json": {"bos_token_id": 1, "eos_token_id": 2, "max_new_tokens": 16},
        "special_tokens_map.json": tokens,
        "tokenizer.json": _tokenizer(),
        "tokenizer_config.json": tokenizer_config,
    }
    files: dict[str, Content | bytes] = {
        path: json.dumps(document, indent=2).encode() for path, document in documents.items()
    }
    files["README.md"] = f"---\nlicense: apache-2.0\n---\n# {name}\n".encode()
    return files | shards(name, count, shard_bytes)


def dataset_files(rows: int = 1000) -> dict[str, Content | bytes]:
    """A data set of two splits in CSV: columns `number` and `text`."""

    def table(first: int, count: int) -> bytes:
        lines = [f"{n},row {n} of the edge" for n in range(first, first + count)]
        return ("number,text\n" + "\n".join(lines) + "\n").encode()

    card = (
        "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: data/train.csv\n"
    )
    card += "  - split: test\n    path: data/test.csv\n---\n# Rows\n"
    return {
        "README.md": card.encode(),
        "data/train.csv": table(0, rows),
        "data/test.csv": table(rows, max(1, rows // 10)),
    }


# Names that make trouble when a path is escaped, decoded or sent in a header; one of them is empty.
ODD_FILES: Mapping[str, bytes] = {
    "sub dir/ünï code #1?.txt": b"odd\n",
    "sub dir/plus+percent%20.txt": b"odder\n",
    "sub dir/deep/er/empty.txt": b"",
    "a'quote\"d.txt": b"quoted\n",
}
