"""The numbers of the page's home, and its setup guide."""
