"""Every way to say which topology a test has."""

from __future__ import annotations

from plugin_tools import NO_SANDBOX, passed, run

WAYS = """
def built(hosts=2, vni=7, vrf=False):
    return catalog.bridged(hosts=hosts, vni=vni)

def look(topology, hosts, vni):
    assert len(topology.hosts) == hosts
    assert topology.segment("overlay").vni == vni

@pytest.mark.topology(built(3))
def test_a_topology(topology):
    look(topology, 3, 7)

@pytest.mark.topology(TopologyBuilder("empty").switch("lan", "10.0.0.0/24"))
def test_a_builder(topology):
    assert topology.nodes == ("lan",)

@pytest.mark.topology(built, hosts=3, vni=8)
def test_a_function(topology):
    look(topology, 3, 8)

@pytest.mark.topology.with_args(built)
def test_a_function_alone(topology):
    look(topology, 2, 7)

@pytest.mark.topology(built)
def test_a_function_as_people_write_it(topology):
    look(topology, 2, 7)

@pytest.mark.topology(catalog.kim_and_lee)
class TestOfTheCatalog:
    def test_a_class(self, topology):
        assert "kim-srv1" in topology.nodes

@pytest.mark.topology(built, hosts=[2, 3], vni=9, vrf=[True, False])
def test_lists(topology, request):
    assert f"hosts={len(topology.hosts)}-" in request.node.name
    look(topology, len(topology.hosts), 9)

@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.topology(catalog.bridged, family=[4, 6])
@pytest.mark.topology(built())
def test_several(topology, number):
    assert number in (1, 2)

@pytest.mark.topology(built, hosts=3)
class TestNearest:
    def test_of_the_class(self, topology):
        look(topology, 3, 7)

    @pytest.mark.topology(built, vni=[4, 5])
    def test_of_the_function(self, topology, request):
        look(topology, 2, int(request.node.name[-2]))

class TestDerived(TestNearest):
    pass

def test_of_the_module(topology):
    look(topology, 2, 11)

@pytest.mark.topology(built, vni=3)
def test_used_through_request(request):
    look(request.getfixturevalue("topology"), 2, 3)

@pytest.mark.parametrize("topology", [built(vni=1), pytest.param(built(vni=2), id="two")])
def test_parametrised_directly(topology):
    assert topology.segment("overlay").vni in (1, 2)

@pytest.mark.parametrize("topology", [built(vni=1)], indirect=True)
def test_parametrised_indirectly(topology):
    look(topology, 2, 1)

@pytest.mark.topology(built, vni=[4, 5])
class TestOverridden:
    @pytest.fixture
    def topology(self, topology):
        return topology.with_vtep("a", "overlay", id=6)

    def test_a_fixture_may_change_it(self, topology):
        host = topology.host("a")
        assert topology.attributes(host, host.vteps[0])["id"] == 6

class TestComputed:
    @pytest.fixture(params=[4, 5])
    def topology(self, request):
        return built(vni=request.param)

    def test_a_fixture_may_make_it(self, topology, request):
        look(topology, 2, int(request.node.name[-2]))

pytestmark = pytest.mark.topology(built, vni=11)
"""


def test_every_way_to_say_which_topology(project):
    """Without a sandbox, which a topology does not need."""
    assert passed(run(project, WAYS, *NO_SANDBOX)) == [
        "test_a_topology",
        "test_a_builder",
        "test_a_function",
        "test_a_function_alone",
        "test_a_function_as_people_write_it",
        "TestOfTheCatalog::test_a_class",
        "test_lists[hosts=2-vrf]",
        "test_lists[hosts=2-no_vrf]",
        "test_lists[hosts=3-vrf]",
        "test_lists[hosts=3-no_vrf]",
        "test_several[ipv4-1]",
        "test_several[ipv4-2]",
        "test_several[ipv6-1]",
        "test_several[ipv6-2]",
        "test_several[bridged-1]",
        "test_several[bridged-2]",
        "TestNearest::test_of_the_class",
        "TestNearest::test_of_the_function[vni=4]",
        "TestNearest::test_of_the_function[vni=5]",
        "TestDerived::test_of_the_class",
        "TestDerived::test_of_the_function[vni=4]",
        "TestDerived::test_of_the_function[vni=5]",
        "test_of_the_module",
        "test_used_through_request",
        "test_parametrised_directly[topology0]",
        "test_parametrised_directly[two]",
        "test_parametrised_indirectly[topology0]",
        "TestOverridden::test_a_fixture_may_change_it[vni=4]",
        "TestOverridden::test_a_fixture_may_change_it[vni=5]",
        "TestComputed::test_a_fixture_may_make_it[4]",
        "TestComputed::test_a_fixture_may_make_it[5]",
    ]
