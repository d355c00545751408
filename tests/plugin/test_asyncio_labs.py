"""Labs in coroutines, as pytest-asyncio runs them: what works, and what is refused."""

from __future__ import annotations

from plugin_tools import counts, run
from project_tools import Project

ASYNCIO = ("-p", "asyncio", "-o", "asyncio_default_fixture_loop_scope=function")

TESTS = """
import asyncio, socket

pytestmark = [pytest.mark.topology(catalog.point_to_point()), pytest.mark.asyncio]
NEAR, FAR = "172.18.1.2", "172.18.1.3"

def names():
    return [name for _, name in socket.if_nameindex()]

async def test_methods_in_threads(lab):
    pings = (asyncio.to_thread(lab[node].ping, to) for node, to in [("a", FAR), ("b", NEAR)] * 4)
    assert all(await asyncio.gather(*pings))
    result = await asyncio.to_thread(lab["a"].run, "ip", "-br", "address")
    assert NEAR in result.stdout
    assert names() == ["lo"]

async def test_a_method_at_once(lab):
    assert lab["a"].ping(FAR)
    assert lab["a"].state.links

async def test_sockets_of_nodes(lab):
    got = asyncio.get_running_loop().create_future()

    async def serve(reader, writer):
        got.set_result(await reader.readline())
        writer.close()

    listening = lab["a"].socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.bind((NEAR, 8000))
    async with await asyncio.start_server(serve, sock=listening):
        with lab["b"].socket(socket.AF_INET, socket.SOCK_STREAM) as client:
            client.setblocking(False)
            await asyncio.get_running_loop().sock_connect(client, (NEAR, 8000))
            await asyncio.get_running_loop().sock_sendall(client, b"hello\\n")
            assert await asyncio.wait_for(got, 60) == b"hello\\n"

async def test_a_block_is_refused_and_mixes_nothing_up(lab):
    async def inside(node):
        with lab[node].namespaces.entered():
            await asyncio.sleep(0)

    async def outside():
        await asyncio.sleep(0)
        return names()

    found = await asyncio.gather(inside("a"), inside("b"), outside(), return_exceptions=True)
    assert found[2] == ["lo"]
    for error in found[:2]:
        assert "the coroutine inside()" in str(error) and "asyncio.to_thread" in str(error)

async def test_a_plain_function_enters(lab):
    def inside(node):
        with lab[node].namespaces.entered():
            return names()

    assert "vxlan0" in inside("a")
    assert "vxlan0" in await asyncio.to_thread(inside, "b")
    assert names() == ["lo"]

async def test_failing(lab):
    assert await asyncio.to_thread(lab["a"].ping, "172.18.1.9", timeout=0.2), "on purpose"
"""


def test_labs_in_coroutines(project: Project) -> None:
    done = run(project, TESTS, "-W", "error", *ASYNCIO)
    assert counts(done) == {"passed": 5, "failed": 1}, done.stdout + done.stderr
    assert "on purpose" in done.stdout
    assert "vxlab: state of every node" in done.stdout
