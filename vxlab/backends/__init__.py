"""Backends: ways to apply one and the same plan."""
