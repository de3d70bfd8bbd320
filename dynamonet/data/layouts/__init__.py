"""One module per data set layout; its name is the layout's name and it holds `listing(root) -> Listing`."""
