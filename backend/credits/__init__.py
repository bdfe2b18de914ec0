"""What a shop has paid for: its credits, where they came from, and what each job took of them."""
