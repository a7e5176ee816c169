"""How well the judge of answers tells good from bad, on the labelled corpus."""
