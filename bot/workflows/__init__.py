"""The durable part: what survives a kill at any step, and reads like the runbook."""
