"""Streams: what a response says while it is made, event by event.

Read `item_events` for the events of one output item, `event_log` for the log of a whole response,
`stream_plans` for when each event happens, `framing` for the bytes on the wire, `delivery` for the
way of a log to one client and `stream_wire` for what goes wrong on that way.
"""
