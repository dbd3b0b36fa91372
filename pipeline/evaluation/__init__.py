"""How good is a restoration: metrics and their conventions."""
