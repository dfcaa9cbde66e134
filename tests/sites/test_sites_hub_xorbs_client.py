"""The real Xet client puts plain files together from virtual xorbs."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from stands.hub_clients import RELEASES, Unavailable, obtain_environment

from edgeproxy.message import BytesBody, Response
from edgeproxy.policy import ranges
from edgeproxy.sites import hub_xorbs
from edgeproxy.sites.hub_signing import Grant, Purpose, grant_of, sign

KEY = bytes(range(32))
LATER = 1 << 40
SIZES = [0, 1, hub_xorbs.CHUNK_BYTES, hub_xorbs.RUN_BYTES, 2 * hub_xorbs.RUN_BYTES + 200_007]
VERSIONS = ["1.2.0", "1.8.0"]
MAKING_SECONDS = 700  # an environment, where it has not been made before

PROGRAM = """
import sys, warnings
warnings.simplefilter("ignore")
import hf_xet
endpoint, token, *files = sys.argv[1:]
wanted = [hf_xet.PyXetDownloadInfo(*f.split("|")[:2], int(f.split("|")[2])) for f in files]
refresh = lambda: (token, 1 << 40)
hf_xet.download_files(wanted, endpoint, (token, 1 << 40), refresh, None)
"""


@dataclass
class PlainFiles:
    """A server that has plain files and nothing else, and speaks Xet through the functions under test."""

    files: dict[str, bytes]
    speaks: frozenset[str] = frozenset({"/", "/v1/", "/v2/"})
    asked: list[str] = field(default_factory=list)
    url: str = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        asked = hub_xorbs.route(request.path)
        self.asked.append(request.path)
        if isinstance(asked, hub_xorbs.TelemetryRoute):
            return _sent(hub_xorbs.telemetry_answer())
        if isinstance(asked, hub_xorbs.XorbRoute):
            return self._xorb(request, asked)
        if asked is None or request.path.partition("reconstructions")[0] not in self.speaks:
            return web.Response(status=404)
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if grant_of(KEY, token, Purpose.XET, 0) is None:
            return web.Response(status=401)
        size = len(self.files[asked.file_id])
        run = sign(KEY, Grant(Purpose.XORB, "models/a/b", "", LATER, asked.file_id, size))

        def xorb_url(index: int) -> str:
            return f"{self.url}{hub_xorbs.xorb_path(run, index)}"

        return _sent(hub_xorbs.reconstruction(asked, size, request.headers.get("Range", ""), xorb_url))

    def _xorb(self, request: web.Request, asked: hub_xorbs.XorbRoute) -> web.Response:
        grant = grant_of(KEY, asked.token, Purpose.XORB, 0)
        layout = hub_xorbs.xorb(grant.size, asked.index) if grant else None
        if grant is None or layout is None:
            return web.Response(status=403)
        found = ranges.parse(request.headers["Range"], layout.size, 1)
        assert isinstance(found, ranges.Slices)
        ((start, end),) = found.slices
        data = self.files[grant.digest]
        content = b"".join(
            piece if isinstance(piece, bytes) else data[slice(*piece)] for piece in layout.pieces(start, end)
        )
        fields = {"Content-Range": ranges.content_range((start, end), layout.size)}
        return web.Response(status=206, body=content, headers=fields)


def _sent(answer: Response) -> web.Response:
    assert isinstance(answer.body, BytesBody)
    return web.Response(status=answer.status, body=answer.body.data, headers=dict(answer.headers))


def file_id(number: int) -> str:
    return f"{number + 1:064x}"


@pytest.fixture
async def plain_files() -> AsyncIterator[PlainFiles]:
    source = random.Random(7)
    server = PlainFiles({file_id(number): source.randbytes(size) for number, size in enumerate(SIZES)})
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    server.url = f"http://{host}:{port}"
    yield server
    await runner.cleanup()


@pytest.fixture(scope="session")
def xet_client() -> Callable[[str], Path]:
    """The interpreter of an environment that holds one release of the client."""

    def get(version: str) -> Path:
        name = next(name for name, wanted in RELEASES.items() if f"hf_xet=={version}" in wanted)
        try:
            return obtain_environment(name)
        except Unavailable as reason:
            pytest.skip(str(reason))

    return get


async def download(client: Path, server: PlainFiles, target: Path) -> tuple[int, str]:
    token = sign(KEY, Grant(Purpose.XET, "models/a/b", "", LATER))
    wanted = [f"{target / name}|{name}|{len(data)}" for name, data in server.files.items()]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(target),
        "HF_XET_CACHE": str(target / "xet"),
        "HF_XET_CLIENT_RETRY_MAX_ATTEMPTS": "1",
    }
    process = await asyncio.create_subprocess_exec(
        *(str(client), "-c", PROGRAM, server.url, token, *wanted),
        env=environment,
        cwd=target,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 90)
    return process.returncode or 0, said.decode(errors="replace")


@pytest.mark.slow
@pytest.mark.timeout(MAKING_SECONDS)
@pytest.mark.parametrize("version", VERSIONS)
async def test_the_real_client_gets_every_byte(
    version: str, plain_files: PlainFiles, xet_client: Callable[[str], Path], tmp_path: Path
) -> None:
    status, said = await download(xet_client(version), plain_files, tmp_path)
    assert status == 0, said
    for name, data in plain_files.files.items():
        # The older release makes no file of nothing: empty files must not be announced as Xet.
        if data or version != "1.2.0":
            assert (tmp_path / name).read_bytes() == data, f"{len(data)} bytes"


@pytest.mark.slow
@pytest.mark.timeout(MAKING_SECONDS)
async def test_a_client_of_version_2_falls_back_to_version_1(
    plain_files: PlainFiles, xet_client: Callable[[str], Path], tmp_path: Path
) -> None:
    plain_files.speaks = frozenset({"/v1/"})
    status, said = await download(xet_client(VERSIONS[-1]), plain_files, tmp_path)
    assert status == 0, said
    assert (tmp_path / file_id(len(SIZES) - 1)).read_bytes() == plain_files.files[file_id(len(SIZES) - 1)]
    assert any(path.startswith("/v2/") for path in plain_files.asked)
    assert any(path.startswith("/v1/reconstructions/") for path in plain_files.asked)
