"""Each topology of the catalog is built as it is written down in `states/`: no row more or less."""

from __future__ import annotations

import itertools

import pytest
from built_state import STATES, built, difference, written

from vxlab import catalog, features
from vxlab.live.lab import Lab
from vxlab.plugin.variants import features_of
from vxlab.system.waiting import wait_until

#: Those of which no complete state is written down yet: they were only seen to carry.
NOT_WRITTEN_DOWN = (
    "vlan-aware",
    "single-device",
    "q-in-vni",
    "irb-symmetric",
    "irb-asymmetric",
    "mdb",
    "vrf-underlay",
    "bond-underlay",
)

EACH = [
    (name, family)
    for name, family in itertools.product(catalog.CATALOG, (4, 6))
    if name not in NOT_WRITTEN_DOWN
]


@pytest.mark.parametrize(("name", "family"), EACH)
def test_a_topology_is_built_as_it_is_written_down(name: str, family: int) -> None:
    topology = catalog.CATALOG[name](family=family)
    # smcroute routes both families wherever the kernel can
    missing = features.missing([*features_of(topology), *(["mroute6"] if topology.routers else [])])
    if missing:
        pytest.skip("; ".join(feature.sentence() for feature in missing))
    wanted = written(name, family)
    with Lab(topology) as lab:

        def differs() -> list[str]:
            return difference(wanted, built(lab))

        wait_until(
            lambda: not differs(),
            f"the state in {STATES.name}/{name}-ipv{family}.txt",
            found=lambda: "\n".join(["rows that lack (-) or are too much (+):", *differs()]),
        )


def test_each_file_is_the_state_of_a_topology() -> None:
    wanted = {f"{name}-ipv{family}.txt" for name, family in EACH} | {"every-node.txt"}
    assert {path.name for path in STATES.iterdir()} == wanted
