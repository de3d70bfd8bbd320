"""One module per data set layout; its name is the layout's name.

It holds `listing(root) -> Listing`, which raises UserError for lists that are missing or malformed and opens no video;
`sources(root) -> list[Path]`, what the listing follows from: the lists, of which the content counts, and the folders
with videos, of which the time counts when a file was last added or removed; it may raise UserError as `listing` does;
and, where the official lists have counts that a copy can be held against, plain data:

    OFFICIAL_COUNTS = {
        "classes": 101,
        "listed": 13320,  # videos in any split
        "splits": {"1": {"train": 9537, "test": 3783}, ...},
        "per_class": {"train": 70, "test": 30},  # of each class in each split, if it is the same for all
        "source": "where the numbers are from",
    }

`dynamonet.data.listing` reads them by the layout's name: `read_listing`, `fingerprint` and `official_counts`.
"""
