"""What can people ask for in an incident's issue?

One file per command, each ending in one `COMMAND` value; `gather.commands()` collects them. Adding a command edits no other
file, unless it needs something new of the `IncidentDesk`.
"""
