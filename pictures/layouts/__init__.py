"""How people lay out folders of pictures: names of splits, stray files, links, odd names."""
