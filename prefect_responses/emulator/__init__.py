"""A local Responses API for demos and tests: no account, no key, and no client of ours.

Read `app` for what is served, `exchange_handling` for the way of a request, `creation`, `retrieval`
and `cancellation` for what the API does, `streaming` for how it tells of it event by event,
`lifecycle` for the status of a response, `faults` for what can be made to go wrong and `control`
for how to ask for it. `models` holds what answers.
"""
