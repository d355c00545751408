"""What a scenario says about itself: the markers ``behaviour`` and ``control``.

    @pytest.mark.behaviour("the outer TTL is 64 unless set", source="man 8 ip-link: ttl")
    @pytest.mark.control("a's device has ttl 9", vteps={"a": {"ttl": 9}})
    def test_unicast_leaves_with_ttl_64(lab): ...

A behaviour is one sentence, and where it is laid down.  A control is a way to break the lab so
that the scenario must turn red: ``pytest --vxlab-controls`` runs each scenario on its broken lab,
and it passes there only by failing.  ``pytest --vxlab-behaviours FILE`` writes them all down.
"""

from vxlab.behaviours.judge import judge
from vxlab.behaviours.markers import Behaviour, Control, behaviour_of, check, control_of

__all__ = ["Behaviour", "Control", "behaviour_of", "check", "control_of", "judge"]
