"""May Drover do this? Plain facts in, a decision with its reasons out. No input, no output."""
