from __future__ import annotations

from typing import get_args
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeproxy.sites import hub_names
from edgeproxy.sites.hub_names import (
    AuthCheck,
    File,
    Git,
    HubQuestion,
    ImageBlob,
    ImageManifest,
    Info,
    LfsBatch,
    Named,
    Nothing,
    OwnPath,
    PathsInfo,
    Repo,
    RepoQuestion,
    Tree,
    XetToken,
)

MODEL = Repo("models", "acme/tiny")
GPT2 = Repo("models", "gpt2")
DATA = Repo("datasets", "acme/d")
COMMIT = "a" * 40
KINDS = get_args(Named)


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        ("/gpt2/resolve/main/config.json", File(GPT2, "resolve", "main", "config.json")),
        ("/acme/tiny/raw/main/a/b", File(MODEL, "raw", "main", "a/b")),
        ("/datasets/acme/d/resolve/refs%2Fpr%2F1/x", File(DATA, "resolve", "refs/pr/1", "x")),
        ("/datasets/acme/d/resolve/refs/pr/1/x", File(DATA, "resolve", "refs/pr/1", "x")),
        (
            "/datasets/acme/d/resolve/refs/convert/parquet/a/0.parquet",
            File(DATA, "resolve", "refs/convert/parquet", "a/0.parquet"),
        ),
        (
            "/acme/tiny/resolve/main/sub%20dir/%C3%BCn%C3%AF%20code%20%231%3F.txt",
            File(MODEL, "resolve", "main", "sub dir/ünï code #1?.txt"),
        ),
        ("/kernels/acme/k/resolve/main/x", File(Repo("kernels", "acme/k"), "resolve", "main", "x")),
        ("/api/kernels/acme/k", Info(Repo("kernels", "acme/k"))),
        ("/acme/resolve/resolve/main/x", File(Repo("models", "acme/resolve"), "resolve", "main", "x")),
        (f"/api/resolve-cache/models/gpt2/{COMMIT}/x/y", File(GPT2, "resolve", COMMIT, "x/y")),
        ("/api/models/gpt2", Info(GPT2)),
        ("/api/models/acme/tiny", Info(MODEL)),
        ("/api/models/acme/tags", Info(Repo("models", "acme/tags"))),
        ("/api/models/acme/tiny/revision/refs%2Fpr%2F1", Info(MODEL, "refs/pr/1")),
        ("/api/models/acme/tiny/revision/refs/pr/1", Info(MODEL, "refs/pr/1")),
        ("/api/models/gpt2/tree/main", Tree(GPT2, "main")),
        ("/api/models/acme/tiny/tree/main/a%2Fb", Tree(MODEL, "main", "a/b")),
        ("/api/models/acme/tiny/tree/main/a/b/", Tree(MODEL, "main", "a/b")),
        ("/api/models/acme/tree/tree/main", Tree(Repo("models", "acme/tree"), "main")),
        ("/api/datasets/acme/d/paths-info/main", PathsInfo(DATA, "main")),
        ("/api/models/gpt2/auth-check", AuthCheck(GPT2)),
        ("/api/models/acme/tiny/xet-read-token/main", XetToken(MODEL, "main")),
        ("/api/models/gpt2/refs", RepoQuestion(GPT2, "refs")),
        ("/api/models/acme/tiny/commits/main", RepoQuestion(MODEL, "commits", "main")),
        ("/acme/tiny.git/info/refs", Git(MODEL, "info/refs")),
        ("/datasets/acme/d/git-upload-pack", Git(DATA, "git-upload-pack")),
        ("/acme/tiny.git/info/lfs/objects/batch", LfsBatch(MODEL)),
        (f"/v2/acme/tiny/blobs/sha256:{'c' * 64}", ImageBlob(MODEL, "c" * 64)),
        ("/v2/acme/tiny/manifests/Q4_K_M", ImageManifest(MODEL, "Q4_K_M")),
        ("/_cas/v1/reconstructions/x", OwnPath("_cas", "v1/reconstructions/x")),
        ("/api/whoami-v2", HubQuestion("/api/whoami-v2")),
        ("/api/models", HubQuestion("/api/models")),
    ],
)
def test_raw_paths_name_what_the_hub_means_by_them(raw: str, named: Named) -> None:
    assert hub_names.read(raw) == named


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "/",
        "//resolve/main/x",
        "/a/b/c/resolve/main/x",
        "/a--b/c/resolve/main/x",
        "/.a/c/resolve/main/x",
        "/a/c.git/resolve/main/x",
        f"/a/{'c' * 97}/resolve/main/x",
        "/a/b/resolve/main/%zz",
        "/a/b/resolve/main/%ff",
        "/a/b/resolve/main/a%5Cb",
        "/a/b/resolve/main",
        "/a/b/resolve/-x/y",
        "/a/b/resolve/a%3Ab/y",
        "/api/../x",
        "/api/models/a/b/tree/main/..%2Fx",
        "/api/models/a/b/%2e%2e/x",
        "/v2/a/b/blobs/sha256:xyz",
        "/acme/tiny/resolve/main/\xff",
    ],
)
def test_what_no_hub_can_have_names_nothing(raw: str) -> None:
    assert isinstance(hub_names.read(raw), Nothing)


@given(st.text(alphabet=st.characters(codec="latin-1"), max_size=60) | st.text(max_size=30).map(quote))
@settings(max_examples=200)
def test_no_path_is_too_odd_to_be_read(tail: str) -> None:
    for raw in (tail, f"/{tail}", f"/a/b/resolve/{tail}", f"/api/models/{tail}", f"/v2/{tail}"):
        assert isinstance(hub_names.read(raw), KINDS)


NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.]{0,8}[A-Za-z0-9_]", fullmatch=True).filter(
    lambda name: ".." not in name and not name.endswith(".git")
)
PATHS = st.lists(
    st.text(alphabet=st.characters(codec="utf-8", exclude_characters="/\\"), min_size=1, max_size=8),
    min_size=1,
    max_size=4,
).map("/".join)


@given(st.sampled_from(hub_names.KINDS), NAMES, NAMES, PATHS.filter(hub_names.is_path))
@settings(max_examples=150)
def test_what_is_written_is_read_again(kind: str, owner: str, name: str, path: str) -> None:
    repo = hub_names.repo(kind, owner, name)
    assert repo is not None
    file = File(repo, "resolve", COMMIT, path)
    assert hub_names.read(hub_names.file_target(file, COMMIT)) == file


@pytest.mark.parametrize(
    ("raw", "old", "renamed"),
    [
        ("/gpt2/resolve/main/x", GPT2, "/new/name/resolve/main/x"),
        ("/datasets/acme/d/raw/main/x", DATA, "/datasets/new/name/raw/main/x"),
        ("/api/models/gpt2/tree/main/a%2Fb", GPT2, "/api/models/new/name/tree/main/a%2Fb"),
        (
            f"/api/resolve-cache/models/gpt2/{COMMIT}/x",
            GPT2,
            f"/api/resolve-cache/models/new/name/{COMMIT}/x",
        ),
    ],
)
def test_a_path_can_be_said_of_another_repository(raw: str, old: Repo, renamed: str) -> None:
    assert hub_names.renamed(raw, old, Repo(old.kind, "new/name")) == renamed
