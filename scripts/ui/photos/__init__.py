"""What the pages "Try a photo" and "Data" are made of: files, answers, sheets, the check."""
