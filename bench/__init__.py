"""How fast vxlab is; see README.md. ``python -m bench`` runs everything."""
