"""What customers have asked about themselves, for the merchant to hand over.

`GET /v1/privacy/requests`. What we hold of a customer is the id on the jobs that they started.
"""
