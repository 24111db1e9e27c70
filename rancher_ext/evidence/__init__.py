"""Collecting evidence about one cluster, and reading evidence that others collected."""
