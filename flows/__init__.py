"""Runnable stories: each is a flow that a user could have written."""
