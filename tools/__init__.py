"""Small programs that build and check the project; the product itself does not import them."""
