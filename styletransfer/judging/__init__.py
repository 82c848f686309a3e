"""How good translators are on held-out donors: scores of images, domain, disagreement, pictures."""
