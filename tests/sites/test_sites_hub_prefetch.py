"""What is guessed to come next: a table of clients, requests and trees."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeproxy.sites.hub_prefetch import Ask, Asked, ClientKind, PrefetchSettings, client_kind, upcoming

COMMIT = "1f" * 20
SETTINGS = PrefetchSettings(bytes_max=1_000_000, files_max=20, small_bytes_max=10_000)
TRANSFORMERS = "transformers/5.23.0; python/3.11.7; session_id/abc; torch/2.9; hf_hub/2.4.0"
DIFFUSERS = "diffusers/0.36.0; python/3.11; torch/2.9; hf_hub/1.2.0; python/3.11"
DATASETS = "datasets/5.2.0; hf_hub/2.4.0; python/3.11.7; pyarrow/21"
HUB = "unknown/None; hf_hub/2.4.0; python/3.11.7"
LLAMA = "llama-cpp/b7000"

SHARDED = {
    ".gitattributes": 500,
    "README.md": 900,
    "config.json": 600,
    "generation_config.json": 100,
    "model-00001-of-00003.safetensors": 300_000,
    "model-00002-of-00003.safetensors": 300_000,
    "model-00003-of-00003.safetensors": 200_000,
    "model.safetensors.index.json": 5_000,
    "onnx/config.json": 10,
    "onnx/model.onnx": 50_000,
    "onnx/model.onnx_data": 200_000,
    "pytorch_model-00001-of-00002.bin": 400_000,
    "pytorch_model-00002-of-00002.bin": 400_000,
    "pytorch_model.bin.index.json": 5_000,
    "tokenizer.json": 9_000,
    "tokenizer_config.json": 700,
    "training_args.bin": 3_000,
    "vocab.json": 20_000,
}
PIPELINE = {
    "README.md": 10,
    "model_index.json": 500,
    "safety_checker/model.safetensors": 1000,
    "scheduler/scheduler_config.json": 300,
    "text_encoder/config.json": 600,
    "text_encoder/model.fp16.safetensors": 1000,
    "text_encoder/model.safetensors": 2000,
    "text_encoder/pytorch_model.bin": 2000,
    "tokenizer/vocab.json": 9000,
    "unet/config.json": 700,
    "unet/deep/notes.json": 5,
    "unet/diffusion_pytorch_model.fp16.safetensors": 3000,
    "unet/diffusion_pytorch_model.non_ema.safetensors": 6000,
    "unet/diffusion_pytorch_model.safetensors": 6000,
    "vae/diffusion_pytorch_model.safetensors": 500,
    "v1-5-pruned.safetensors": 9000,
}


def ask(path: str, user_agent: str = TRANSFORMERS, **changes: str) -> Ask:
    return Ask(Asked.FILE, "models", "org/name", COMMIT, path, user_agent=user_agent, **changes)


def paths(asked: Ask, tree: dict[str, int], bounds: PrefetchSettings = SETTINGS) -> list[str]:
    found = upcoming(asked, tree, bounds)
    if found is None:
        return []
    assert found.group == f"models/org/name@{COMMIT}"
    start = f"/org/name/resolve/{COMMIT}/"
    assert all(target.startswith(start) for target in found.targets)
    return [target.removeprefix(start) for target in found.targets]


def shards(count: int, first: int = 1, stem: str = "model", tail: str = ".safetensors") -> list[str]:
    return [f"{stem}-{number:05d}-of-{count:05d}{tail}" for number in range(first, count + 1)]


@pytest.mark.parametrize(
    ("user_agent", "kind"),
    [
        (TRANSFORMERS, ClientKind.TRANSFORMERS),
        ("unknown/None; hf_hub/0.36.2; python/3.11; transformers/4.57.1", ClientKind.TRANSFORMERS),
        (DIFFUSERS, ClientKind.DIFFUSERS),
        (DATASETS, ClientKind.DATASETS),
        (HUB, ClientKind.HUB),
        ("unkown/None; hf-hub/0.4.3; rust/unknown", ClientKind.HUB),
        (LLAMA, ClientKind.LLAMA),
        ("curl/8.5.0", ClientKind.OTHER),
        ("Wget/1.21", ClientKind.OTHER),
        ("aria2/1.36.0", ClientKind.OTHER),
        ("Mozilla/5.0 (X11; Linux x86_64)", ClientKind.OTHER),
        ("", ClientKind.OTHER),
    ],
)
def test_a_client_is_known_by_its_user_agent(user_agent: str, kind: ClientKind) -> None:
    assert client_kind(user_agent) is kind


def test_an_index_is_followed_by_its_shards_in_order_and_by_no_other_format() -> None:
    assert paths(ask("model.safetensors.index.json"), SHARDED) == shards(3)
    assert paths(ask("pytorch_model.bin.index.json"), SHARDED) == shards(2, 1, "pytorch_model", ".bin")


def test_a_shard_is_followed_by_those_after_it() -> None:
    assert paths(ask("model-00002-of-00003.safetensors", HUB), SHARDED) == shards(3, 3)
    assert paths(ask("model-00003-of-00003.safetensors", HUB), SHARDED) == []


def test_a_config_is_followed_by_the_small_files_a_loader_reads() -> None:
    assert paths(ask("config.json"), SHARDED) == [
        "generation_config.json",
        "tokenizer_config.json",
        "tokenizer.json",
        "model.safetensors.index.json",
    ]


def test_a_config_in_a_folder_is_about_that_folder() -> None:
    tree = {"a/config.json": 1, "a/tokenizer.json": 2, "b/tokenizer.json": 3, "tokenizer.json": 4}
    assert paths(ask("a/config.json"), tree) == ["a/tokenizer.json"]


def test_a_listed_tree_is_followed_by_its_small_files() -> None:
    found = paths(replace(ask("", HUB), asked=Asked.TREE), SHARDED)
    small = {p for p, size in SHARDED.items() if size <= 10_000 and not p.endswith(".bin")}
    assert set(found) == small
    assert found == [path for path in SHARDED if path in small]


def test_a_tree_that_a_loader_only_probes_is_followed_by_nothing() -> None:
    assert paths(replace(ask("", TRANSFORMERS), asked=Asked.TREE), SHARDED) == []
    assert paths(replace(ask("", DATASETS), asked=Asked.TREE), SHARDED) == []


@pytest.mark.parametrize(("api", "prefix"), [("models", ""), ("datasets", "/datasets")])
def test_info_is_followed_by_the_tree_and_targets_bear_the_kind_of_repository(api: str, prefix: str) -> None:
    info = Ask(Asked.INFO, api, "org/name", COMMIT, user_agent=HUB)
    found = upcoming(info, {}, SETTINGS)
    assert found is not None
    assert found.targets == (f"/api/{api}/org/name/tree/{COMMIT}?recursive=true&expand=false",)
    tree = upcoming(replace(info, asked=Asked.TREE), {"a b#?.json": 1}, SETTINGS)
    assert tree is not None
    assert tree.targets == (f"{prefix}/org/name/resolve/{COMMIT}/a%20b%23%3F.json",)


def test_one_big_file_is_followed_by_nothing() -> None:
    tree = {"model.safetensors": 900_000, "pytorch_model.bin": 900_000, "config.json": 10}
    assert [paths(ask("model.safetensors", agent), tree) for agent in (HUB, TRANSFORMERS, LLAMA)] == [[]] * 3


@pytest.mark.parametrize("agent", ["curl/8.5.0", "Wget/1.21", "aria2/1.36", "", "Mozilla/5.0"])
def test_nothing_is_guessed_for_clients_that_are_not_known(agent: str) -> None:
    asked = [ask(path, agent) for path in SHARDED] + [replace(ask("", agent), asked=a) for a in Asked]
    assert [upcoming(each, SHARDED, SETTINGS) for each in asked] == [None] * len(asked)


def test_nothing_is_guessed_from_head_nor_from_the_middle_of_a_file() -> None:
    first = "model-00001-of-00003.safetensors"
    assert paths(ask(first, method="HEAD"), SHARDED) == []
    assert paths(ask(first, range_field="bytes=1000-1999"), SHARDED) == []
    assert paths(ask(first, range_field="bytes=-500"), SHARDED) == []
    for resumed in ("bytes=1000-", "bytes=0-0", "bytes=0-10485759"):
        assert paths(ask(first, range_field=resumed), SHARDED) == shards(3, 2)


def test_nothing_is_guessed_from_a_file_that_is_not_in_the_tree() -> None:
    assert paths(ask("model-00001-of-00009.safetensors"), SHARDED) == []
    assert paths(ask("model.safetensors.index.json"), {}) == []


def test_a_data_set_is_followed_by_its_next_files_unless_it_is_streamed() -> None:
    tree = dict.fromkeys(["data/test-00000-of-00001.parquet"], 5)
    tree |= {f"data/train-{n:05d}-of-00004.parquet": 10 for n in range(4)}
    asked = ask("data/train-00001-of-00004.parquet", DATASETS)
    assert paths(asked, tree) == [f"data/train-{n:05d}-of-00004.parquet" for n in (2, 3)]
    assert paths(replace(asked, range_field="bytes=0-99"), tree) == []


def test_variants_of_an_index_lead_to_their_own_shards() -> None:
    new, old = shards(2, stem="model.fp16"), shards(2, tail=".bf16.safetensors")
    tree = dict.fromkeys([*shards(3), *new, *old], 10)
    for variant, expected in (("", shards(3)), (".fp16", new), (".bf16", old)):
        index = f"model.safetensors.index{variant}.json"
        assert paths(ask(index), tree | {index: 5}) == expected


def test_an_index_for_which_several_sets_would_do_is_followed_by_nothing() -> None:
    tree = dict.fromkeys(["model.safetensors.index.json", *shards(2), *shards(3)], 10)
    assert paths(ask("model.safetensors.index.json"), tree) == []
    incomplete = {path: size for path, size in tree.items() if path not in shards(3)[1:]}
    assert paths(ask("model.safetensors.index.json"), incomplete) == shards(2)


def test_a_pipeline_is_followed_by_the_small_files_of_its_components() -> None:
    assert paths(ask("model_index.json", DIFFUSERS), PIPELINE) == [
        "text_encoder/config.json",
        "unet/config.json",
        "tokenizer/vocab.json",
        "scheduler/scheduler_config.json",
    ]


def test_weights_of_a_component_are_followed_by_the_same_variant_of_later_ones() -> None:
    plain = ["unet/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.safetensors"]
    assert paths(ask("text_encoder/model.safetensors", DIFFUSERS), PIPELINE) == plain
    half = ["unet/diffusion_pytorch_model.fp16.safetensors"]
    assert paths(ask("text_encoder/model.fp16.safetensors", DIFFUSERS), PIPELINE) == half
    assert paths(ask("text_encoder/pytorch_model.bin", DIFFUSERS), PIPELINE) == []


def test_parts_of_a_gguf_model_are_followed_by_the_rest_and_its_only_projector() -> None:
    parts = shards(3, stem="q4/big-Q4_K_M", tail=".gguf")
    tree = dict.fromkeys([*parts, "q4/mmproj-F16.gguf", "q8/big-Q8_0.gguf"], 10)
    assert paths(ask(parts[0], LLAMA), tree) == [*parts[1:], "q4/mmproj-F16.gguf"]
    assert paths(ask(parts[0], HUB), tree) == parts[1:]
    assert paths(ask(parts[2], LLAMA), tree | {"q4/mmproj-Q8.gguf": 1}) == []


def test_an_onnx_model_is_followed_by_its_data() -> None:
    assert paths(ask("onnx/model.onnx", HUB), SHARDED) == ["onnx/model.onnx_data"]


def test_shards_end_where_the_bounds_are_reached() -> None:
    index = ask("model.safetensors.index.json")
    assert paths(index, SHARDED, replace(SETTINGS, bytes_max=700_000)) == shards(3)[:2]
    assert paths(index, SHARDED, replace(SETTINGS, files_max=1)) == shards(3)[:1]
    assert upcoming(index, SHARDED, replace(SETTINGS, bytes_max=0)) is None
    assert upcoming(index, SHARDED, replace(SETTINGS, files_max=0)) is None


names = st.sampled_from([*SHARDED, *PIPELINE, "x-99999-of-99999.gguf", "mmproj.gguf", "a/b/config.json"])


@settings(max_examples=150)
@given(
    st.dictionaries(names, st.integers(-5, 1 << 70)),
    names,
    st.sampled_from([HUB, TRANSFORMERS, DIFFUSERS, DATASETS, LLAMA]),
    st.sampled_from(Asked),
)
def test_a_guess_is_within_bounds_and_never_what_was_asked(
    tree: dict[str, int], path: str, agent: str, asked: Asked
) -> None:
    if asked is Asked.INFO:
        return
    found = paths(replace(ask(path, agent), asked=asked), tree)
    assert len(found) <= SETTINGS.files_max
    assert sum(max(0, tree[each]) for each in found) <= SETTINGS.bytes_max
    assert len(set(found)) == len(found)
    assert asked is Asked.TREE or path not in found
