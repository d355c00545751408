"""From a topology to operations: what they are, and in which order they build a lab."""
