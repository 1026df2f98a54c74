"""An exchange of our own: matching engines, and the agents that trade on them."""
