"""Whether KVM boots a guest here: tried once for each boot of this machine."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

from vxlab.vm import cache, children, qemu

#: Seconds that KVM has to boot a guest in, which takes it one; where it hangs, as it may inside of
#: another virtual machine, guests are emulated.
_DEADLINE = 12.0


def has_kvm() -> bool:
    """Whether KVM boots a guest in time; found out once for each boot of this machine."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    note = cache.part("kvm") / boot
    with contextlib.suppress(OSError):
        return note.read_text() == "yes"
    with cache.lock("kvm"):
        with contextlib.suppress(OSError):
            return note.read_text() == "yes"
        answer = _boots()
        if answer is not None:
            cache.write(note, "yes" if answer else "no")
    return answer is True


def _boots() -> bool | None:
    """Boot something by KVM; None where there is nothing to boot yet."""
    from vxlab.vm import images, kernels

    kernel = kernels.any_kept()
    if kernel is None:
        return None
    words = ("-machine", "q35", *qemu.KVM, "-m", "256", "-nodefaults", "-display", "none")
    boot = ("-no-reboot", "-net", "none", "-serial", "stdio", "-kernel", str(kernel.image))
    line = ("-initrd", str(images.start(kernel)), "-append", f"{qemu.KERNEL_OPTIONS} vxlab.probe")
    try:
        done = children.run(
            [qemu.executable(), *words, *boot, *line],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_DEADLINE,
        )
    except subprocess.TimeoutExpired:
        return False
    return b"vxlab: probed" in done.stdout
