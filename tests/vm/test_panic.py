"""A panic is known by what the kernel said and where, whatever else differs."""

import pytest
from panics import PANICS

from vxlab.vm import panic


@pytest.mark.parametrize("release", PANICS)
def test_a_real_panic_is_named_by_what_it_said_and_where(release):
    found = panic.fingerprint(PANICS[release])
    assert "Kernel panic - not syncing: sysrq triggered crash" in found
    assert "sysrq_handle_crash" in found


def test_the_same_panic_has_one_name_on_all_kernels():
    assert len({panic.fingerprint(text) for text in PANICS.values()}) == 1


def test_a_panic_is_the_same_at_other_addresses_and_times():
    one = PANICS["6.1"]
    moved = one.replace("0x", "0x1").replace("[   ", "[  9")
    assert moved != one
    assert panic.fingerprint(moved) == panic.fingerprint(one)


def test_panics_of_another_kind_or_place_are_others():
    one = PANICS["6.1"]
    kind = one.replace("sysrq triggered crash", "Fatal exception")
    place = one.replace("sysrq_handle_crash", "vxlan_xmit")
    assert len({panic.fingerprint(text) for text in (one, kind, place)}) == 3


def test_a_log_without_a_panic_has_no_fingerprint():
    assert panic.fingerprint("[    0.0] Linux version 6.1\n[    1.0] panic=-1\n") == ""


def test_frames_that_the_kernel_is_not_sure_of_do_not_count():
    log = "BUG: kernel NULL pointer dereference\n RIP: 0010:vxlan_snoop+0xb9/0x240\n"
    unsure = (
        " ? console_unlock.cold+0x1/0x2\n ? vxlan_open+0x1/0x2\n ? memcpy.isra.0.cold+0x1/0x2\n"
    )
    rest = " vxlan_rcv+0x180/0x4e0 [vxlan]\n"
    found = panic.fingerprint(log + unsure + rest)
    assert found.endswith("in vxlan_snoop < vxlan_rcv")
    assert found == panic.fingerprint(log + rest)


@pytest.mark.parametrize("release", PANICS)
def test_the_message_and_what_follows_it_are_told(release):
    assert panic.message(PANICS[release]) == "Kernel panic - not syncing: sysrq triggered crash"
    told = panic.excerpt("an earlier line\n" + PANICS[release])
    assert "an earlier line" not in told
    assert "sysrq_handle_crash" in told


def test_of_a_log_without_a_panic_the_end_is_told():
    log = "\n".join(f"line {number}" for number in range(30))
    assert panic.message(log) == ""
    assert panic.excerpt(log).splitlines() == [f"line {number}" for number in range(18, 30)]
