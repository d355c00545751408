"""What a guest boots from, as far as it can be told without a boot."""

from __future__ import annotations

import lzma
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from debian import bzimage

from vxlab.errors import VxlabError
from vxlab.vm import cache, images
from vxlab.vm.kernels import Kernel

DEP = """kernel/fs/ext4/ext4.ko: kernel/fs/jbd2/jbd2.ko kernel/lib/crc16.ko
kernel/fs/jbd2/jbd2.ko:
kernel/lib/crc16.ko:
kernel/lib/crc32c-generic.ko.xz:
kernel/drivers/virtio/virtio_pci.ko.xz: kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/virtio/virtio_ring.ko:
kernel/drivers/net/vxlan.ko:
kernel/fs/overlay-fs.ko:
"""


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """A kernel whose virtio_blk is built in."""
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    modules = tmp_path / "modules"
    for line in DEP.splitlines():
        path = modules / line.partition(":")[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        data = f"module {path.name.partition('.')[0]}".encode()
        path.write_bytes(lzma.compress(data) if path.suffix == ".xz" else data)
    (modules / "modules.dep").write_text(DEP)
    (modules / "modules.softdep").write_text(
        "# comment\nsoftdep ext4 pre: crc32c-generic post: other\nsoftdep vxlan pre: ext4\n"
    )
    return Kernel(name="x", release="6.1.0", image=bzimage(tmp_path / "vmlinuz"), modules=modules)


def names(kernel):
    return [path.name.partition(".")[0] for path in images.early_modules(kernel)]


def test_early_modules_come_after_what_they_need(kernel):
    found = names(kernel)
    assert sorted(found) == sorted(
        ["virtio_ring", "virtio_pci", "crc32c-generic", "crc16", "jbd2", "ext4"]
    )
    for needed, by in (("virtio_ring", "virtio_pci"), ("jbd2", "ext4"), ("crc16", "ext4")):
        assert found.index(needed) < found.index(by)
    assert found.index("crc32c-generic") < found.index("ext4"), "a soft dependency"


def test_a_chain_of_needs_is_loaded_from_its_end(kernel):
    (kernel.modules / "modules.dep").write_text("k/ext4.ko: k/b.ko k/a.ko\nk/b.ko: k/a.ko\nk/a.ko:")
    assert names(kernel) == ["a", "b", "ext4"]


def test_a_kernel_without_modules_has_none_to_load(kernel):
    assert names(replace(kernel, modules=None)) == []
    assert images.modules(replace(kernel, modules=None)) is None


def test_a_packed_module_is_unpacked(kernel):
    packed = kernel.modules / "kernel/lib/crc32c-generic.ko.xz"
    assert images._plain(packed) == b"module crc32c-generic"
    assert images._plain(kernel.modules / "kernel/lib/crc16.ko") == b"module crc16"


def test_the_image_of_modules_holds_them(kernel):
    image = images.modules(kernel)
    debugfs = images.program("debugfs", "e2fsprogs")
    shown = subprocess.run(
        [debugfs, "-R", "cat kernel/drivers/net/vxlan.ko", image], capture_output=True, check=True
    )
    assert shown.stdout == b"module vxlan"
    assert images.modules(kernel) == image


def test_a_folder_that_does_not_fit_into_its_image_is_an_error(tmp_path):
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").write_bytes(b"x" * (4 << 20))
    with pytest.raises(VxlabError, match=r"mkfs\.ext4 of .*tree ended with"):
        images.ext4(tmp_path / "tree", tmp_path / "image", spare=-11)


@pytest.mark.parametrize("name", ["stage1.sh", "stage2.sh"])
def test_stages_are_sound_shell(name, tmp_path):
    script = tmp_path / name
    script.write_text(images._scripts(name))
    subprocess.run(["sh", "-n", script], check=True)


def test_links_for_packet_filters_and_the_tables_of_iproute2(tmp_path):
    (tmp_path / "etc/iproute2").mkdir(parents=True)
    (tmp_path / "etc/iproute2/rt_protos").write_text("2 kernel\n")
    (tmp_path / "usr/sbin").mkdir(parents=True)
    (tmp_path / "usr/bin").mkdir()
    (tmp_path / "usr/share/man").mkdir(parents=True)
    images._finish(tmp_path)
    for name in ("iptables", "ip6tables"):
        for what in ("", "-save", "-restore"):
            assert (tmp_path / f"usr/sbin/{name}{what}").readlink() == Path("xtables-nft-multi")
    assert (tmp_path / "usr/share/iproute2/rt_protos").read_text() == "2 kernel\n"
    assert (tmp_path / "etc/iproute2/rt_protos").exists()
    assert not (tmp_path / "usr/share/man").exists()
