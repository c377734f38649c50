"""Cold start: demonstrations, tokenizer and from-scratch training of the quickstart policy."""
