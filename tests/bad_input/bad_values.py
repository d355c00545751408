"""Values that people might give by mistake, or on purpose: what the generated tests draw from."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

#: The same examples in every run: a change that fails here fails everywhere.
REPEATABLE = settings(
    derandomize=True,
    deadline=None,  # a machine may be slow; pytest's own limit ends what hangs
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

#: Text of all kinds: control characters, halves of surrogate pairs, and what looks like a value.
TEXT = st.one_of(
    st.text(max_size=20),
    st.text(st.characters(categories=["Cc", "Cs", "Cf", "Zl"]), min_size=1, max_size=4),
    st.sampled_from(
        [
            *("", " ", "\0", "\n", "a\nb", "\x1b[31m", "\ud800", "\udcff", "x" * 5000, "-", "--"),
            *("10.0.0.1", "10.0.0.1/24\n", "fe80::1%eth0/64", "239.1.1.1", "::/0", "0.0.0.0/0"),
            *("02:00:00:00:00:01", "eth0", "vxlan0", "h1", "lan", "red", "../x", "lo", "é"),
        ]
    ),
)
NUMBERS = st.one_of(
    st.integers(),
    st.floats(),
    st.booleans(),
    st.sampled_from([-1, 0, 1, 67, 4096, 65535, 65536, 1 << 24, 1 << 32, 1 << 64, 10**40]),
)
PLAIN = st.one_of(st.none(), TEXT, NUMBERS, st.binary(max_size=4), st.builds(object))
#: Anything at all, also some of it together.
VALUES: st.SearchStrategy[Any] = st.one_of(
    PLAIN,
    st.lists(PLAIN, max_size=3),
    st.tuples(PLAIN, PLAIN),
    st.dictionaries(TEXT, PLAIN, max_size=2),
)
#: As the words of a command line are: no NUL can be in them.
WORDS = TEXT.filter(lambda text: "\0" not in text)
