"""One file per kind of evidence, each ending in a value `COLLECTOR`. Files whose name begins with `_` are helpers."""
