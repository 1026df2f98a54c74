"""What every program that serves does when it starts: its process, its TLS, its first lines."""
