"""Durable work on the OpenAI Responses API for Prefect 3: submit once, survive anything."""
