"""How much reading of prompts the order of a block saves."""
