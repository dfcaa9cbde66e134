import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.generator.watch import Sample, Watch, between, family, sample

TICK = 1 / os.sysconf("SC_CLK_TCK")


def process(proc: Path, pid: int, children: str, ticks: tuple[int, int, int, int], resident_kb: int) -> None:
    (proc / str(pid) / "task" / str(pid)).mkdir(parents=True)
    (proc / str(pid) / "task" / str(pid) / "children").write_text(children)
    times = " ".join(str(tick) for tick in ticks)
    (proc / str(pid) / "stat").write_text(f"{pid} (a) name (b)) S 1 1 1 0 -1 0 0 0 0 0 {times} 20 0 1 0")
    status = f"Name:\tx\nVmHWM:\t {resident_kb + 5} kB\nVmRSS:\t {resident_kb} kB\n"
    (proc / str(pid) / "status").write_text(status)
    (proc / str(pid) / "schedstat").write_text("5000 250000000 7\n")
    (proc / str(pid) / "io").write_text("rchar: 9\nread_bytes: 4096\nwrite_bytes: 8192\n")


def test_a_sample_is_of_a_process_and_all_below_it(tmp_path: Path) -> None:
    process(tmp_path, 10, "11 12 ", (1, 2, 3, 4), 100)
    process(tmp_path, 11, "13 ", (10, 0, 0, 0), 10)
    process(tmp_path, 13, "", (100, 0, 0, 0), 1)  # 12 has ended meanwhile
    process(tmp_path, 99, "", (1000, 0, 0, 0), 1000)
    assert family(10, tmp_path) == [10, 11, 12, 13]
    seen = sample(10, tmp_path)
    assert (seen.processes, seen.cpu_seconds) == (3, pytest.approx(120 * TICK))
    assert seen.waited_seconds == pytest.approx(0.75)
    assert (seen.resident_bytes, seen.peak_bytes) == (111 << 10, 126 << 10)
    assert (seen.read_bytes, seen.written_bytes) == (3 * 4096, 3 * 8192)


def test_what_has_ended_is_nothing(tmp_path: Path) -> None:
    seen = sample(10, tmp_path)
    assert (seen.processes, seen.cpu_seconds, seen.resident_bytes) == (0, 0, 0)


def test_what_was_used_is_the_difference_and_never_below_nothing() -> None:
    before = Sample(10.0, 1, 1.0, 0.1, 100, 150, 7, 8)
    used = between(before, Sample(12.0, 1, 2.5, 0.6, 90, 160, 9, 8))
    assert (used.seconds, used.cpu_seconds, used.cpu, used.waited) == (2.0, 1.5, 0.75, 0.25)
    assert (used.resident_bytes, used.peak_bytes, used.grown_bytes) == (90, 160, -10)
    assert (used.read_bytes, used.written_bytes) == (2, 0)
    assert between(before, Sample(10.0, 0, 0.0, 0.0, 0, 0, 0, 0)).cpu == 0.0


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="there is no /proc")
def test_a_child_at_work_is_seen_with_its_parent() -> None:
    watch = Watch({"us": os.getpid()})
    before = watch.sample()
    burn = "import time\nwhile time.process_time() < 0.2: pass\nprint(flush=True)\ninput()"
    with subprocess.Popen(
        [sys.executable, "-c", burn], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout
        child.stdout.readline()
        used = watch.used(before)["us"]
        assert watch.sample()["us"].processes == before["us"].processes + 1
        child.communicate(b"\n")
    assert used.cpu_seconds >= 0.18
    assert used.peak_bytes >= used.resident_bytes > 0
    while watch.sample()["us"].processes > before["us"].processes:
        time.sleep(0.01)
    assert watch.used(before)["us"].cpu_seconds >= 0.18  # what it did is counted with its parent now
