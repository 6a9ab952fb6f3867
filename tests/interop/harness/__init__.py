"""What the interop tests are written with: networks, Floodway as a process, and what it counts."""
