"""The outbox: intents written with the business change, and what turns them into delivered mail."""
