"""What do people read on GitHub? Issue bodies and comments, made of facts; nothing is fetched and nothing is decided here."""
