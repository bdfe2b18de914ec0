"""What the merchant decides on: finished images to publish or to dismiss."""
