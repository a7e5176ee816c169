"""Starts the system at boot, through the service manager of the machine."""
