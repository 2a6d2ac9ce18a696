"""Other people's weights: files read without running anything in them, key maps to networks of gan_lab, licences."""
