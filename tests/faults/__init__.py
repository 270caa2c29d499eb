"""What happens to files, machines and processes, and what must not come of it."""
