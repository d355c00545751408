"""JSON that programs print broken, mended: literal samples, and text put into sound JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vxlab.live.json_output import read_json, repaired

#: What `ip -j -d link show type vxlan` of Ubuntu 24.04 prints, shortened.
UBUNTU = (
    '[{"ifindex":7,"link":"eth0","ifname":"vxlan0","flags":["BROADCAST","MULTICAST","UP"],'
    '"mtu":1450,"linkinfo":{"info_kind":"vxlan","info_data":{"id":5fan-map ,"local":"10.0.0.1",'
    '"dstport":4789,"ttl":0,"udp_csum":true}},"ifalias":"5fan-map ,"}]'
)
#: What `ip -j route show table local` of iproute2 5.9 prints, shortened.
OLD_ROUTES = '[{"broadcast","dst":"127.0.0.0","dev":"lo","flags":[]},{"local","dst":"127.0.0.1"}]'


def test_text_of_ubuntus_ip_is_left_out() -> None:
    (link,) = read_json(UBUNTU)
    assert link["linkinfo"]["info_data"] == {
        "id": 5,
        "local": "10.0.0.1",
        "dstport": 4789,
        "ttl": 0,
        "udp_csum": True,
    }
    assert link["flags"] == ["BROADCAST", "MULTICAST", "UP"]
    assert link["ifalias"] == "5fan-map ,"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('[{"id":5fan-map 10.0.0.0/8:172.16.0.0/16 250.0.0.0/8:10.1.0.0/16 ,"a":1}]', {"a": 1}),
        ('[{"id":5fan-map }]', {}),
        ('[{\n    "id": 5 fan-map \n    ,"a": -1.5e3\n}]\n', {"a": -1500.0}),
        ('[{"id":fan-map 5,"a":null}]', {"a": None}),
        ('[{"id":5,"a":"x"fan-map ,"b":[1,2]fan-map ,"c":{}fan-map }]', None),
        ('[{"id":5,"a":truefan-map ,"b":[1fan-map ,2fan-map ]}]', {"a": True, "b": [1, 2]}),
        ('[{"id":5,"a":"\\"fan-map ,\\\\"fan-map }]', {"a": '"fan-map ,\\'}),
    ],
)
def test_text_between_values_is_left_out(text: str, wanted: dict[str, Any] | None) -> None:
    wanted = {"a": "x", "b": [1, 2], "c": {}} if wanted is None else wanted
    assert read_json(text) == [{"id": 5} | wanted]


def test_a_key_without_a_value_is_true() -> None:
    assert read_json(OLD_ROUTES) == [
        {"broadcast": True, "dst": "127.0.0.0", "dev": "lo", "flags": []},
        {"local": True, "dst": "127.0.0.1"},
    ]
    assert read_json('{"a":{"last"}}') == {"a": {"last": True}}


@pytest.mark.parametrize(
    "text", ["", "ip utility, iproute2-6.1.0", "Error 5", "[1", '{"a":"b', "["]
)
def test_what_is_no_json_stays_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="line 1"):
        read_json(text)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda below: st.lists(below) | st.dictionaries(st.text(), below),
)


@given(VALUES, st.sampled_from([None, 2]))
@example({"fan-map ,": "fan-map }"}, None)
def test_sound_json_stays_as_it_is(value: Any, indent: int | None) -> None:
    text = json.dumps(value, indent=indent)
    assert repaired(text) == text
    assert read_json(text) == value


@given(st.lists(st.integers() | st.text() | st.booleans(), min_size=1))
def test_text_after_any_value_is_left_out(values: list[Any]) -> None:
    text = "[" + ",".join(json.dumps(value) + "fan-map 1.2.3.4/8:5.6.7.8/16 " for value in values)
    assert read_json(text + "]") == values
