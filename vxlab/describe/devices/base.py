"""What all kinds of device have in common, and what makes a new kind.

A kind is one class: what a person writes of it are its fields, and :attr:`Device.kind`, a
:class:`LinkKind`, says how the kernel and ip(8) call the same.  Checks, plans, all backends,
scripts and snapshots read it there, so a kind of your own needs no other change::

    IFB = LinkKind("ifb")

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Ifb(Device):
        kind = IFB

    TopologyBuilder("one").host("h1").device("h1", Ifb("ifb0", mtu=1400))
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

from vxlab.describe import checks
from vxlab.describe.devices.ports import PortVlan, check_port, check_vlans
from vxlab.describe.devices.setting import Setting
from vxlab.describe.vxlan.table import Attributes, Value
from vxlab.errors import TopologyError
from vxlab.netlink import values
from vxlab.netlink.messages import attribute, attributes


@dataclass(frozen=True, slots=True)
class LinkKind:
    """How the kernel and ip(8) know one kind of device.

    ``name`` is the word behind ``type`` in ``ip link add`` (IFLA_INFO_KIND); ``settings`` are what
    IFLA_INFO_DATA may hold.
    """

    name: str
    settings: tuple[Setting, ...] = ()

    def setting(self, name: str) -> Setting | None:
        """The setting of that name, or None."""
        return next((each for each in self.settings if each.name == name), None)

    def check(self, node: str, found: Attributes) -> None:
        """TopologyError of ``node`` and the setting for the first of ``found`` that is bad."""
        for name, value in found:
            setting = self.setting(name)
            if setting is None:
                known = ", ".join(each.name for each in self.settings) or "none at all"
                raise TopologyError(node, str(name), f"wanted a setting of {self.name}: {known}")
            problem = setting.problem(value)
            if problem:
                raise TopologyError(node, name, problem)

    def words(self, name: str, value: Value) -> list[str]:
        """The words of ip(8) that set ``name`` to ``value``."""
        setting = self.setting(name)
        if setting is None:
            return [name, str(value)]
        number = setting.number_of(value)
        spelled = next((word for word, n in setting.words.items() if n == number), None)
        plain = int(value) if isinstance(value, bool) else value
        return [setting.word or name, str(plain) if spelled is None else spelled]

    def encode(self, found: Attributes, index_of: Callable[[str], int]) -> bytes:
        """``found`` as what IFLA_INFO_DATA holds.

        ``index_of`` turns the name of a device into its interface index.  ValueError, TypeError or
        struct.error for an unknown setting, or a value that does not fit.
        """
        parts = []
        for name, value in found:
            setting = self.setting(name)
            if setting is None:
                known = ", ".join(each.name for each in self.settings) or "none at all"
                raise ValueError(f"{name!r}, which is no setting of {self.name} ({known})")
            if isinstance(value, str) and setting.words and value not in setting.words:
                known = ", ".join(setting.words)
                raise ValueError(f"{value!r}, which is no {name} of {self.name} ({known})")
            payload = values.encode(setting.type, setting.number_of(value), index_of)
            parts.append(attribute(setting.number, payload))
        return b"".join(parts)

    def decode(self, data: bytes, name_of: Callable[[int], str]) -> dict[str, Value]:
        """What is in ``data``, a kernel's IFLA_INFO_DATA, by the names of the settings.

        ``name_of`` turns an interface index into the device's name.
        """
        read = dict(attributes(data))
        found: dict[str, Value] = {}
        for setting in self.settings:
            if setting.number in read:
                value = values.decode(setting.type, read[setting.number], name_of)
                found[setting.name] = next(
                    (word for word, number in setting.words.items() if number == value), value
                )
        return found


#: All kinds by their names; a :class:`Device` adds its own when its class is made.
KINDS: dict[str, LinkKind] = {}


def kind_of(name: str) -> LinkKind:
    """The kind of that name; one without settings where vxlab knows none."""
    return KINDS.get(name) or LinkKind(name)


def as_tuple(value: Any) -> tuple[Any, ...]:
    """One thing, several, or none, as a tuple."""
    if value is None:
        return ()
    several = isinstance(value, Iterable) and not isinstance(value, str | bytes)
    return tuple(value) if several else (value,)


def as_pairs(node: str, field_name: str, value: Any) -> Attributes:
    """``value``, a mapping or pairs, as pairs.

    TopologyError of ``node`` and ``field_name`` where it is neither.
    """
    if isinstance(value, Mapping):
        return tuple(value.items())
    pairs = as_tuple(value)
    if all(isinstance(each, tuple) and len(each) == 2 for each in pairs):
        return pairs
    raise TopologyError(node, field_name, f"wanted a mapping, found {value!r}")


@dataclass(frozen=True, slots=True)
class Device:
    """A network device of a machine; base of all kinds.

    ``name`` is its own, up to 15 bytes.  ``addresses`` are one or several IP addresses with prefix
    length; ``master`` is the bridge, bond or VRF that it is a port of; ``mac`` its MAC address
    (None: the lab gives it one), ``mtu`` its MTU in bytes (None: the kernel's choice); it is set
    ``up`` unless told otherwise.  ``attributes`` are settings of its kind by name that have no
    field of their own.  As port of a bridge, ``port`` are its settings there by name
    (:data:`vxlab.describe.devices.ports.PORT`), ``vlans`` its VLANs (:class:`PortVlan`, or
    numbers).  Every wrong value is a TopologyError.
    """

    name: str
    _: KW_ONLY
    addresses: tuple[str, ...] = ()
    master: str | None = None
    mac: str | None = None
    mtu: int | None = None
    up: bool = True
    attributes: Attributes = ()
    port: Attributes = ()
    vlans: tuple[PortVlan, ...] = ()

    kind: ClassVar[LinkKind]
    #: False for the device that every node has: it is not made.
    made: ClassVar[bool] = True
    #: True where ``vlans`` are those of the device itself, which is a bridge.
    holds_vlans: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        kind = cls.__dict__.get("kind")
        if isinstance(kind, LinkKind):
            KINDS[kind.name] = kind

    def __post_init__(self) -> None:
        self._check_name()
        node = str(self)
        object.__setattr__(self, "addresses", as_tuple(self.addresses))
        object.__setattr__(self, "attributes", as_pairs(node, "attributes", self.attributes))
        object.__setattr__(self, "port", as_pairs(node, "port", self.port))
        object.__setattr__(self, "vlans", check_vlans(node, as_tuple(self.vlans)))
        for address in self.addresses:
            checks.interface(node, "addresses", address)
        if self.master is not None:
            checks.device(node, "master", self.master)
        if self.mac is not None:
            checks.mac(node, "mac", self.mac)
        if self.mtu is not None:
            checks.mtu(node, "mtu", self.mtu)
        checks.boolean(node, "up", self.up)
        check_port(node, self.master, self.port, () if self.holds_vlans else self.vlans)
        self.kind.check(node, self.settings())
        self.check()

    def _check_name(self) -> None:
        checks.device(self.kind.name, "name", self.name)

    def __str__(self) -> str:
        return f"{self.kind.name} {self.name}"

    def check(self) -> None:
        """TopologyError for what a kind finds wrong with its own fields; a kind may override it."""

    @property
    def below(self) -> str | None:
        """The name of the device that this one sits upon (IFLA_LINK), or None."""
        return getattr(self, "link", None)

    def settings(self) -> Attributes:
        """The settings that it is made with: the kind's own fields that are set, ``attributes``.

        A setting that is called as a field of every device, such as ``port``, is no field.
        """
        common = {each.name for each in dataclasses.fields(Device)}
        names = {each.name for each in dataclasses.fields(self)} - common
        fields = ((s.name, getattr(self, s.name)) for s in self.kind.settings if s.name in names)
        return (*((name, value) for name, value in fields if value is not None), *self.attributes)

    def commands(self) -> tuple[tuple[tuple[str, ...], str], ...]:
        """Programs that finish the device once it is there: the words of each, and its input."""
        return ()

    def needs(self) -> tuple[str, ...]:
        """The names of the devices that must be there before this one is made."""
        devices = {s.name for s in self.kind.settings if s.type == "device"}
        named = (str(value) for name, value in self.settings() if name in devices)
        return tuple(filter(None, (self.below, self.master, *named)))
