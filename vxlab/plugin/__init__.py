"""Everything that is pytest: :mod:`~vxlab.plugin.hooks` is the plugin, the others are its parts."""
