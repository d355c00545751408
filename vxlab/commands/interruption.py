"""How a long command ends by a signal: in order, and with the exit code of an interruption."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def ended_by_signals(program: str, *, by_number: bool = False) -> Iterator[None]:
    """A polite kill ends machines and files as Ctrl-C does; while they end, no other one counts.

    ``program`` is what says so, on stderr.  The exit code is 130; with ``by_number`` 128 more than
    the number of the signal.
    """
    code = 128 + signal.SIGINT
    is_ending = False

    def end(number: int, _: object) -> None:
        nonlocal code, is_ending
        if not is_ending:
            is_ending = True
            code = 128 + number if by_number else code
            name = "" if number == signal.SIGINT else signal.Signals(number).name
            raise KeyboardInterrupt(name)

    numbers = [
        each
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(each) is not signal.SIG_IGN  # as under nohup
    ]
    before = {each: signal.signal(each, end) for each in numbers}
    try:
        yield
    except KeyboardInterrupt as error:
        print(f"{program}: interrupted {error}".rstrip(), file=sys.stderr)
        raise SystemExit(code) from None
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
