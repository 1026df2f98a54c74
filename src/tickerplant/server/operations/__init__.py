"""The operations of the control plane: one row each, one file per family."""
