from pathlib import Path
from typing import Any

import pytest

FILES = {
    "config.json": b"{}",
    "model-00001-of-00002.safetensors": b"s" * 300_000,
    "model-00002-of-00002.safetensors": b"t" * 200_000,
    "onnx/model.onnx": b"o" * 100,
}


@pytest.fixture
def warm(run: Any, hub_node: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    hub_node.files = dict(FILES)
    return lambda *arguments: run("warm", "--url", hub_node.url, *arguments)


def files(node: Any) -> list[str]:
    return sorted(path.partition("/resolve/")[2][41:] for path in node.paths() if "/resolve/" in path)


def test_every_file_of_a_repository_is_fetched_and_counted(warm: Any, hub_node: Any) -> None:
    ended = warm("hf:org/name")
    assert (ended.code, ended.err) == (0, "")
    assert files(hub_node) == sorted(FILES)
    assert "hf:org/name@main: 4 of 4 files, 488.4 KiB in " in ended.out
    assert ended.out.endswith(", 0 were there already\n")


def test_patterns_choose_files(warm: Any, hub_node: Any) -> None:
    assert warm("hf:org/name", "--include", "*.json", "--include", "onnx/").code == 0
    assert files(hub_node) == ["config.json", "onnx/model.onnx"]
    hub_node.asked.clear()
    assert warm("hf:org/name", "--exclude", "*.safetensors", "--exclude", "onnx/").code == 0
    assert files(hub_node) == ["config.json"]


def test_patterns_that_choose_nothing_are_a_failure(warm: Any) -> None:
    ended = warm("hf:org/name", "--include", "*.gguf")
    assert (ended.code, ended.out) == (1, "")
    assert "none of the 4 files" in ended.err


def test_a_dry_run_fetches_nothing(warm: Any, hub_node: Any) -> None:
    ended = warm("hf:org/name", "--dry-run")
    assert ended.code == 0
    assert files(hub_node) == []
    assert "model-00001-of-00002.safetensors" in ended.out
    assert "4 files, 488.4 KiB" in ended.out


def test_paths_and_urls_are_fetched_as_they_are(warm: Any, hub_node: Any) -> None:
    hub_node.files["/other/thing?q=1"] = b"x"
    ended = warm("/other/thing?q=1", f"{hub_node.url}/other/thing?q=1")
    assert ended.code == 0
    assert hub_node.paths() == ["/other/thing?q=1"] * 2


def test_a_file_that_cannot_be_had_ends_with_1_and_the_rest_is_fetched(warm: Any, hub_node: Any) -> None:
    hub_node.refused = {"config.json": [403]}
    ended = warm("hf:org/name", "/absent")
    assert ended.code == 1
    assert "hf:org/name@main: config.json: 403 not now" in ended.err
    assert "3 of 4 files" in ended.out
    assert "/absent: /absent: 404 Entry not found" in ended.err


def test_the_token_comes_from_a_file_and_is_sent_to_the_hub_alone(
    warm: Any, hub_node: Any, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("hf_secret\n")
    hub_node.files["/other"] = b"x"
    ended = warm("hf:org/name", "/other", "--token-file", str(tmp_path / "token"))
    assert ended.code == 0
    sent = {path: fields.get("Authorization") for path, fields in hub_node.asked}
    assert sent.pop("/other") is None
    assert set(sent.values()) == {"Bearer hf_secret"}


def test_the_token_of_the_environment_is_used(
    warm: Any, hub_node: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_env")
    assert warm("hf:org/name").code == 0
    assert {fields["Authorization"] for _, fields in hub_node.asked} == {"Bearer hf_env"}


@pytest.mark.parametrize("text", [b"two words", b"\xff\xfe", b"a\x07b"])
def test_what_is_no_token_is_refused_and_not_shown(warm: Any, tmp_path: Path, text: bytes) -> None:
    (tmp_path / "token").write_bytes(text)
    ended = warm("hf:org/name", "--token-file", str(tmp_path / "token"))
    assert ended.code == 2
    assert "is not a token" in ended.err
    assert "words" not in ended.err


def test_a_token_file_that_is_not_there_is_told(warm: Any, tmp_path: Path) -> None:
    ended = warm("hf:org/name", "--token-file", str(tmp_path / "absent"))
    assert ended.code == 2
    assert "No such file" in ended.err


@pytest.mark.parametrize(
    "arguments", [(), ("nonsense",), ("hf:a/b/c",), ("hf:org/name", "--jobs", "0"), ("absent:org/name",)]
)
def test_wrong_usage_ends_with_2_and_asks_nothing(warm: Any, hub_node: Any, arguments: Any) -> None:
    assert warm(*arguments).code == 2
    assert hub_node.asked == []


def test_the_node_is_found_by_the_configuration(run: Any, hub_node: Any) -> None:
    hub_node.files = {"/x": b"1"}
    address = hub_node.url.removeprefix("http://")
    assert run("warm", "/x", "--set", f'listen.http=["{address}"]').code == 0
    assert run("warm", "/x", "--set", 'listen.http=["127.0.0.1:0"]').code == 2


def test_no_node_is_one_line_and_1(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeproxy.cli.warm_walk.DELAY_SECONDS_MAX", 0.0)
    ended = run("warm", "--url", "http://127.0.0.1:1", "hf:org/name")
    assert ended.code == 1
    assert ended.err.startswith("edgeproxy: hf:org/name@main: no node answers at http://127.0.0.1:1")
    assert ended.err.count("\n") == 1
