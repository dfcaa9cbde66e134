import asyncio

from edgeproxy.tasks import Tasks


async def test_a_task_that_fails_is_reported_once_under_its_name() -> None:
    reported: list[tuple[str, BaseException]] = []
    tasks = Tasks(lambda name, error: reported.append((name, error)))
    fault = OSError("disk")

    async def fail() -> None:
        raise fault

    await asyncio.wait([tasks.start(fail(), "failing")])
    await asyncio.sleep(0)
    assert reported == [("failing", fault)]
    assert len(tasks) == 0


async def test_a_running_task_is_kept_and_ended_at_the_close() -> None:
    reported: list[str] = []
    tasks = Tasks(lambda name, _: reported.append(name))
    ended = asyncio.Event()

    async def wait_for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    task = tasks.start(wait_for_ever(), "waiting")
    await asyncio.sleep(0)
    assert len(tasks) == 1
    await tasks.aclose()
    assert ended.is_set()
    assert task.cancelled()
    assert reported == []


async def test_work_started_while_closing_is_ended_as_well() -> None:
    tasks = Tasks(lambda *_: None)
    late: list[asyncio.Task[None]] = []

    async def wait_for_ever() -> None:
        await asyncio.Event().wait()

    async def starts_another() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            late.append(tasks.start(wait_for_ever(), "late"))

    tasks.start(starts_another(), "first")
    await asyncio.sleep(0)
    await tasks.aclose()
    assert late[0].cancelled()
    assert len(tasks) == 0
