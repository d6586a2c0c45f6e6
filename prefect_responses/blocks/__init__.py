"""Blocks that hold an account and the place of a ledger."""
