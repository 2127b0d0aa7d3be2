"""Text for one person about one item, grounded in what is known of both."""
