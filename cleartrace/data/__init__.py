"""Row schemas and the data that recipes train on."""
