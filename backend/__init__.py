"""Atelier: an open backend for Shopify apps that make product imagery."""
