"""What is received, typed: every message of every stream, and what is told between them."""
