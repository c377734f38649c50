"""Programs as answers: find the program, read the tests, ask a judge, turn its verdict into a grade."""
