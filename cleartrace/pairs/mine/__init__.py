"""Mining: pairs that are found in data rather than made."""
