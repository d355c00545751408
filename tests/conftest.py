"""Makes the tests of vxlab itself independent of how they were started."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from resource_tools import nothing_left

# Under nohup, or as a background job of a script, these are ignored, and whatever a test starts
# would ignore them too: a shell cannot even undo that (POSIX, trap).
for _number, _usual in (
    (signal.SIGHUP, signal.SIG_DFL),
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGQUIT, signal.SIG_DFL),
):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _usual)


@pytest.fixture
def nothing_is_left(tmp_path: Path) -> Iterator[None]:
    """After the test descriptors, namespaces, processes and files are as they were before."""
    with nothing_left(tmp_path / "temp"):
        yield
