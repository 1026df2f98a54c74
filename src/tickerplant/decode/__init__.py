"""From recorded bytes to events: what the exchange wrote, as it wrote it, and what it means."""
