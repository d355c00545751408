"""A topology that exists: the lab, its nodes, what is captured there."""
