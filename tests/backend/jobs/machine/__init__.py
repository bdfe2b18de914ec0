"""The job engine beside a model of it: what every sequence of requests and crashes must keep."""
