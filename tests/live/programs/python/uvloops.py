"""asyncio on uvloop: the loop is native, its tasks are asyncio's own."""
import asyncio

import says
from says import scenario

SINCE = (3, 9)
FAR = 100000


def run(main):
    import uvloop
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(main())


def named(coroutine, name):
    return asyncio.get_running_loop().create_task(coroutine, name=name)


async def ready():
    says.thread("epoll_wait|epoll_pwait")
    await asyncio.sleep(0.05)
    says.ready(1)


@scenario("task-cycle", since=SINCE, needs="pypi:uvloop")
def uvloop_crosswise():
    """Two tasks take two asyncio locks in opposite order."""
    async def main():
        source, target = asyncio.Lock(), asyncio.Lock()

        async def push():
            async with source:
                await asyncio.sleep(0.01)
                async with target:
                    print("pushed")

        async def pull():
            async with target:
                await asyncio.sleep(0.01)
                async with source:
                    print("pulled")

        tasks = [named(push(), "push"), named(pull(), "pull")]
        says.waits_task("push", "asyncio_lock", target, "Lock", holder="pull")
        says.waits_task("pull", "asyncio_lock", source, "Lock", holder="push")
        await ready()
        await asyncio.gather(*tasks)

    run(main)


@scenario("event-loop-blocked", since=SINCE, needs="pypi:uvloop")
def uvloop_result():
    """A coroutine waits, as a thread does, for a result that its own loop would have to produce."""
    async def fetch():
        return 1

    async def main():
        future = asyncio.run_coroutine_threadsafe(fetch(), asyncio.get_running_loop())
        says.thread()
        says.waits("future", future)
        says.ready(1)
        future.result()

    run(main)


@scenario("none", "none", since=SINCE, needs="pypi:uvloop")
def uvloop_server():
    """A server with a connection that is quiet."""
    async def main():
        async def serve(reader, writer):
            while await reader.readline():
                writer.write(b"ok\n")

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        client = await asyncio.open_connection(*server.sockets[0].getsockname())
        says.waits_task("nap", "sleep")
        nap = named(asyncio.sleep(FAR), "nap")
        await ready()
        await nap
        print(client)

    run(main)


if __name__ == "__main__":
    says.run()
