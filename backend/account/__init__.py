"""What a merchant sees of their credits: the balance, the transactions and the usage by day."""
