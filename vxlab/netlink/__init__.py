"""The one place that knows netlink (netlink(7), rtnetlink(7)).

:mod:`~vxlab.netlink.messages` has numbers, headers and attributes, :mod:`~vxlab.netlink.values` how
single values look as bytes, both ways.  :mod:`~vxlab.netlink.requests` sends batches of requests,
:mod:`~vxlab.netlink.dumps` asks for everything of one kind, :mod:`~vxlab.netlink.decoding` takes
messages apart with pyroute2's classes.
"""
