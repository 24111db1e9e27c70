"""What can be done about a cause: actions, playbooks, plans with exact diffs, and the proof that a cure worked."""
