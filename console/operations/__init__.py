"""What people can do, as functions: shared by the command line, the dashboard and the HTTP API."""
