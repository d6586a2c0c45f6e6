"""The main job, killed half-way and finished, with the proof of what was paid for."""
