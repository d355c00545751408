"""The subcommands of ``vxlab``: one module each, named as the subcommand is.

:mod:`vxlab.commands.main` puts them together; what several of them need is in the other modules.
"""
