"""What a node sends, receives and holds: captures, frames, and snapshots of its state."""
