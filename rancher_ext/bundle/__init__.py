"""What was collected about one cluster, and what it says."""
