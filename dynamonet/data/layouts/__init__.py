"""One module per data set layout; its name is the layout's name.

It holds `listing(root) -> Listing`, which raises UserError for lists that are missing or malformed and opens no video,
and, where the official lists have counts that a copy can be held against, plain data:

    OFFICIAL_COUNTS = {
        "classes": 101,
        "listed": 13320,  # videos in any split
        "splits": {"1": {"train": 9537, "test": 3783}, ...},
        "source": "where the numbers are from",
    }

`dynamonet.data.listing` reads both by the layout's name: `read_listing` and `official_counts`.
"""
