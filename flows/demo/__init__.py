"""The main job, killed half-way and finished, with the proof that nothing was paid for twice."""
