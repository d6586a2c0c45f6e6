"""The only loop: it performs what the decisions say, and records it."""
