"""Opening after a kill at any time, by one process at a time."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from storage_stand import opened

from edgeproxy.errors import StartError

HERE = Path(__file__).parent


async def test_a_writer_killed_at_any_time_leaves_right_bodies_and_holds_the_lock_till_then(tmp_path):
    chance, found = random.Random(9), 0
    path = os.pathsep.join([str(HERE), str(HERE.parent.parent)])
    for turn in range(20):
        with subprocess.Popen(  # noqa: ASYNC220 - nothing else runs here
            [sys.executable, str(HERE / "kill_child.py"), str(tmp_path / "c")],
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
        ) as child:
            for _ in range(chance.randrange(1, 120)):
                assert child.stdout.readline()
            if turn == 0:
                with pytest.raises(StartError, match="another process"):
                    async with opened(tmp_path / "c"):
                        pass
            child.kill()
        async with opened(tmp_path / "c", disk=2_000_000) as stand:
            for key in range(30):
                data = await stand.get(f"k{key}")
                if data is not None:
                    number = int(data[:6])
                    assert number % 30 == key
                    assert data == b"%06d" % number * (20 if number % 2 else 8000)
                    found += 1
    assert found > 100
