"""Known failures as data: what they look like, and which of them a bundle of evidence shows."""
