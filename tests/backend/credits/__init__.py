"""The ledger of credits, on real Postgres."""
