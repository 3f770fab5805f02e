// violation: layer (a folder without a line of its own)
