"""Publishing: a finished job's pictures put on a product in the shop, and taken back again.

What is about to be done is stored before Shopify is asked, and what came of it afterwards; so a
publication that was interrupted anywhere is taken up again without doing anything twice.
"""
