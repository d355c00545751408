"""What is said about a lab: when a test fails, and for keeping."""
