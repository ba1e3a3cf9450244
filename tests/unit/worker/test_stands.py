from __future__ import annotations

import pytest
from trireme.contract.wire import Stand
from trireme_worker.output import Tail
from trireme_worker.stands import stand

THREAD = ["Thread 0x00007f00 (most recent call first):", '  File "/usr/lib/python3.11/threading.py", line 324 in wait']
MAIN = "Current thread 0x00007f01 (most recent call first):"


def frames(*places: str) -> list[str]:
    return [f'  File "{path}", line {line} in {name}' for path, line, name in (place.split(":") for place in places)]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param([], Stand(), id="nothing"),
        pytest.param(["step 3", "loss 0.5"], Stand(), id="output of its own"),
        pytest.param(
            [*THREAD, "", MAIN, *frames("/app/my train.py:7:load", "/app/train.py:90:<module>")],
            Stand(where="my train.py:7 in load"), id="the main thread, after the others",
        ),
        pytest.param(
            [MAIN, *frames("/site/torch/distributed/distributed_c10d.py:9:all_reduce", "/app/train.py:7:step")],
            Stand(where="distributed_c10d.py:9 in all_reduce", waiting=True), id="waits for its peers",
        ),
        pytest.param(
            [MAIN, *frames("/l/threading.py:9:wait", "/z/agent.pyz/trireme_worker/comm/ps/client.py:7:pull")],
            Stand(where="threading.py:9 in wait", waiting=True), id="waits inside the standard library",
        ),
        pytest.param(
            [MAIN, *frames("/a.py:1:a", "/a.py:2:b", "/a.py:3:c", "/a.py:4:d", "/torch/distributed/fsdp/x.py:5:e")],
            Stand(where="a.py:1 in a"), id="below a wrapper of the framework",
        ),
        pytest.param([MAIN, *frames("/a.py:1:" + "x" * 500)], Stand(where=("a.py:1 in " + "x" * 500)[:200]), id="long"),
    ],
)  # fmt: skip
def test_stand(lines, expected):
    assert stand(lines) == expected


def test_a_tail_since_a_moment():
    tail = Tail()
    tail.add([b"%d" % number for number in range(50)], is_error=False)
    then = tail.count
    assert tail.since(then) == ()
    tail.add([b"a", b"b"], is_error=True)
    assert tail.since(then) == ("a", "b")
    tail.add([b"%d" % number for number in range(50)], is_error=False)
    assert (len(tail.since(then)), tail.since(then)[-1]) == (40, "49")
