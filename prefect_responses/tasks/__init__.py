"""The Prefect face: tasks, and the blocks that stand for them."""
