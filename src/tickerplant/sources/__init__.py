"""Where a market comes from: what drives a plant with events and time."""
