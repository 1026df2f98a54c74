"""Subscriptions: channels, their audiences, and the publishers that make their messages."""
