"""Explains what a lab did: conversations in its frames, failed pings, failed tests."""
