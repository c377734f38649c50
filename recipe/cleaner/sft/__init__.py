"""Cold-start SFT: demonstrations as the parquet files that veRL's SFT trainer reads."""
