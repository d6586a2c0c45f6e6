"""The command line: parsing and printing only. Every command is one verb of another package."""
