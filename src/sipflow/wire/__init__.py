"""Values as Python sees them: endpoints, packets, SIP heads, SDP, RTP."""
