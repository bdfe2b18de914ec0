"""Publications: add a finished job's images to a product in the shop, and remove them again.

Each step is stored before Shopify is called, and its result afterwards. So an interrupted
publication continues anywhere without doing anything twice.
"""
