"""What can be taken home of a call: captures, text, with digits hidden and names replaced when asked."""
