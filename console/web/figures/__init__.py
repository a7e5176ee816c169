"""What the pages show, read in bounded queries."""
