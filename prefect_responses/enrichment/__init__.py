"""Row jobs: sources, prompts, output types, validation, sinks, reports."""
