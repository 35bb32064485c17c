"""What is agreed with one operator, over all its connections."""
