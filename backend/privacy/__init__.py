"""Customers' data requests, for the merchant to answer: `GET /v1/privacy/requests`.

The only customer data we store is the customer id on the jobs that they started.
"""
