"""What can only be learnt on the node itself? A short-lived pod per node reads it there and sends it to Drover, masked."""
