"""Audio and quality out of RTP."""
