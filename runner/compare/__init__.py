"""What paired and ordered measurements say, for every room that compares: pure, knows no runs and no files."""
