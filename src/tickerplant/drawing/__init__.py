"""Pictures and pages: what all drawings have in common, and the files that they are written to."""
