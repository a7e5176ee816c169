"""The same policies on a virtual clock."""
