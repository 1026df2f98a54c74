"""One program per library; each is run as a module, in the library's own environment."""
