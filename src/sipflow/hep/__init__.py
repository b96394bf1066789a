"""HEP on its way in: the ports it comes by, and the connections that bring it."""
