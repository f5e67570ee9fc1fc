"""The cloud on a laptop: Azurite, the Azure ML emulator and the Functions host, and what sets them up."""
