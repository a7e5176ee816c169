"""One adapter a wire format."""
