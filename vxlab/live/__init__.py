"""Labs that exist: the lab, its nodes and captures, and what runs in them."""
