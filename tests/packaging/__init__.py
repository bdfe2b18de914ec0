"""The wheels and the image, installed and run. Needs a network; not in the suite."""
