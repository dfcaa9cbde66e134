import asyncio
import time

from benchmarks.alarm import Alarm


async def test_the_alarm_rings_at_the_soonest_time_set_and_not_before() -> None:
    rung: list[float] = []
    done = asyncio.Event()

    def ring() -> None:
        rung.append(time.monotonic())
        done.set()

    alarm = Alarm(ring)
    begun = time.monotonic()
    alarm.set(begun + 60)
    alarm.set(begun + 0.02)
    alarm.set(begun + 50)
    await asyncio.wait_for(done.wait(), 20)
    assert rung[0] >= begun + 0.02
    done.clear()
    alarm.set(begun)  # what is past rings at once
    await asyncio.wait_for(done.wait(), 20)
    assert len(rung) == 2
    alarm.close()
