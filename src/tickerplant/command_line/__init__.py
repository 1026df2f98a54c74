"""How the command line reads and explains itself: options, help, usage errors, completion."""
