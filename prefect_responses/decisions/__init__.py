"""What to do, decided without waiting, clocks or drivers."""
