"""What a build costs and keeps, as JSON, text and a page."""
