"""The types of the page's code: `make pagetypes`."""
