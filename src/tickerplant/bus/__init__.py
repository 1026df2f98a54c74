"""What plants and edges tell each other over a bus: names, batches, order and loss, without sockets."""
